/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The key out of a certificate and its digests, against what openssl(1) says of
 * the same certificate; damaged certificates; the list in SSL_fingerprint.
 */

#include "imapsync-net/pin.h"
#include "certs.h"
#include "tap.h"

static const char	*const keys[] = {
	"ecparam -name prime256v1 -genkey -noout -out key",
	"genrsa -out key 2048",
};

/* The first word of a file that openssl's dgst -r wrote. */
static void
read_hex(const char *name, char *hex, size_t size)
{
	uint8_t	*p;
	size_t	 len;

	p = certs_read(name, &len);
	p[strcspn((char *)p, " \n")] = '\0';
	strlcpy(hex, (char *)p, size);
	free(p);
}

static void
check_list(const char *list, const uint8_t *spki, size_t len, int want)
{
	char	 why[200] = "";

	ok(pin_check(list, why, sizeof(why)) == 0, "\"%.40s...\" %s", list,
	    why);
	ok(pin_match(list, spki, len) == want, "\"%.40s...\" %s", list,
	    want ? "matches" : "does not match");
}

static void
test_digests(const uint8_t *spki, size_t len)
{
	static const char *const algos[] = { "sha1", "sha256", "sha384",
	    "sha512" };
	static const char	 zeros[] = "0000000000000000000000000000"
	    "000000000000000000000000000000000000";
	char			 hex[256], list[512], show[PIN_SHOW_MAX];
	size_t			 i, k;

	for (i = 0; i < 4; i++) {
		run("openssl dgst -%s -r spki >hex", algos[i]);
		read_hex("hex", hex, sizeof(hex));
		snprintf(list, sizeof(list), "%s$%s", algos[i], hex);
		check_list(list, spki, len, 1);
		snprintf(list, sizeof(list), " %s  %s$%s ", zeros, algos[i],
		    hex);
		check_list(list, spki, len, 1);
		for (k = 0; hex[k] != '\0'; k++)
			if (hex[k] >= 'a')
				hex[k] -= 'a' - 'A';
		snprintf(list, sizeof(list), "%s$%s", algos[i], hex);
		check_list(list, spki, len, 1);
		hex[k - 1] = hex[k - 1] == '0' ? '1' : '0';
		snprintf(list, sizeof(list), "%s$%s", algos[i], hex);
		check_list(list, spki, len, 0);
	}
	run("openssl dgst -sha256 -r spki >hex");
	read_hex("hex", hex, sizeof(hex));
	check_list(hex, spki, len, 1);
	check_list(zeros, spki, len, 0);
	check_list("", spki, len, 0);
	pin_show(show, spki, len);
	ok(strncmp(show, "sha256$", 7) == 0 && strcmp(show + 7, hex) == 0,
	    "shown as %s", show);
}

/* Each cut of a certificate, and each octet of its frame made wrong. */
static void
test_damage(const uint8_t *der, size_t len)
{
	const uint8_t	*spki;
	uint8_t		*copy;
	size_t		 i, n, taken = 0;

	for (i = 0; i < len; i++) {
		/* A block of its own, so that reading beyond it shows. */
		copy = malloc(i == 0 ? 1 : i);
		memcpy(copy, der, i);
		if (pin_spki(copy, i, &spki, &n) == 0)
			taken++;
		free(copy);
	}
	ok(taken == 0, "no cut certificate is taken");
	copy = malloc(len + 1);
	memcpy(copy, der, len);
	copy[len] = 0;
	ok(pin_spki(copy, len + 1, &spki, &n) == -1, "an octet too many");
	for (i = 0; i < len; i++) {
		copy[i] ^= 0x80;
		if (pin_spki(copy, len, &spki, &n) == 0 &&
		    (spki < copy || spki + n > copy + len))
			taken++;
		copy[i] ^= 0x80;
	}
	ok(taken == 0, "nothing outside of the certificate is returned");
	copy[1] = 0x80;		/* indefinite */
	ok(pin_spki(copy, len, &spki, &n) == -1, "an indefinite length");
	copy[1] = 0xff;
	ok(pin_spki(copy, len, &spki, &n) == -1, "a length of 127 octets");
	free(copy);
}

static void
test_length(void)
{
	/* SEQUENCE of length 3, written in one octet more than needed */
	static const uint8_t	 longer[] = { 0x30, 0x81, 3, 0x30, 1, 0 };
	/* No version, serial 1, four empty sequences, an empty key. */
	static const uint8_t	 least[] = { 0x30, 19, 0x30, 17, 2, 1, 1,
				    0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0,
				    0x30, 4, 0x30, 0, 3, 0 };
	static const uint8_t	 other[] = { 0x30, 20, 0x30, 18, 2, 0x81, 1, 1,
				    0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0,
				    0x30, 4, 0x30, 0, 3, 0 };
	static const uint8_t	 zero[] = { 0x30, 0x82, 0, 0x80, 0x30 };
	static const uint8_t	 huge[] = { 0x30, 0x84, 255, 255, 255, 255 };
	const uint8_t		*spki;
	size_t			 n;

	ok(pin_spki(longer, sizeof(longer), &spki, &n) == -1, "no DER");
	ok(pin_spki(least, sizeof(least), &spki, &n) == 0 && n == 6 &&
	    spki == least + sizeof(least) - 6, "the least certificate");
	ok(pin_spki(other, sizeof(other), &spki, &n) == -1,
	    "the same, with a length in two octets");
	ok(pin_spki(zero, sizeof(zero), &spki, &n) == -1, "leading 0");
	ok(pin_spki(huge, sizeof(huge), &spki, &n) == -1, "4 GiB");
	ok(pin_spki(huge, 0, &spki, &n) == -1, "nothing");
}

static void
test_pem(const char *pem, size_t len, const uint8_t *der, size_t derlen)
{
	static const char	 begin[] = "-----BEGIN CERTIFICATE-----\n";
	static const char	 end[] = "-----END CERTIFICATE-----\n";
	struct buf		 out = BUF_INIT;
	char			 text[256];

	ok(pin_pem(&out, pem, len) == 0 && out.len == derlen &&
	    memcmp(buf_ptr(&out), der, derlen) == 0,
	    "PEM: the first of two");
	ok(pin_pem(&out, pem, 40) == -1, "PEM: cut");
	ok(pin_pem(&out, pem, 0) == -1, "PEM: empty");
	ok(pin_pem(&out, "no certificate", 14) == -1, "PEM: none");
	snprintf(text, sizeof(text), "%s%s", begin, end);
	ok(pin_pem(&out, text, strlen(text)) == -1, "PEM: nothing in it");
	snprintf(text, sizeof(text), "%sAA*A\n%s", begin, end);
	ok(pin_pem(&out, text, strlen(text)) == -1, "PEM: no base64");
	buf_free(&out);
}

static void
test_certificate(const char *key)
{
	const uint8_t	*spki;
	uint8_t		*pem, *der, *want;
	size_t		 pemlen, derlen, wantlen, len;

	run("openssl %s", key);
	run("openssl req -x509 -new -key key -subj /CN=a -days 2 -out crt");
	run("openssl x509 -in crt -outform der -out der");
	run("openssl x509 -in crt -noout -pubkey >pub");
	run("openssl pkey -pubin -in pub -outform der -out spki");
	run("openssl req -x509 -new -key key -subj /CN=b -days 2 >>crt");
	pem = certs_read("crt", &pemlen);
	der = certs_read("der", &derlen);
	want = certs_read("spki", &wantlen);
	if (ok(pin_spki(der, derlen, &spki, &len) == 0 && len == wantlen &&
	    memcmp(spki, want, len) == 0, "key of %s", key))
		test_digests(spki, len);
	test_damage(der, derlen);
	test_pem((char *)pem, pemlen, der, derlen);
	free(pem);
	free(der);
	free(want);
}

static void
test_lists(void)
{
	static const char *const bad[] = {
		"md5$d41d8cd98f00b204e9800998ecf8427e", "$", "sha256$",
		"sha256", "00", "sha1$da39a3ee5e6b4b0d3255bfef95601890afd8070",
		"sha1$da39a3ee5e6b4b0d3255bfef95601890afd807090a",
		"sha1$da39a3ee5e6b4b0d3255bfef95601890afd8070g",
		"sha1$da39a3ee5e6b4b0d3255bfef95601890afd80709 x",
		"da:39:a3:ee:5e:6b:4b:0d:32:55:bf:ef:95:60:18:90:af:d8:07:09",
	};
	char			 why[200];
	size_t			 i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why[0] = '\0';
		ok(pin_check(bad[i], why, sizeof(why)) == -1 &&
		    why[0] != '\0', "%s: %s", bad[i], why);
	}
	ok(pin_check("  ", why, sizeof(why)) == 0, "blanks are no pins");
	ok(pin_match("md5$d41d8cd98f00b204e9800998ecf8427e",
	    (const uint8_t *)"", 0) == 0, "no match in a malformed list");
}

int
main(void)
{
	size_t	 i;

	certs_init();
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		test_certificate(keys[i]);
	test_length();
	test_lists();
	return tap_done();
}
