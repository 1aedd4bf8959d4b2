# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The part of the Makefile that tests.  `make regress` runs everything, `make
# regress T=name` one test: regress/*/name.t or regress/unit/test_name.c.  `make
# mutate` tests the unit tests: regress/mutate.

STAGE =		regress/stage
UNITDIR =	regress/tmp/unit
UNITLIB =	regress/tmp/libunit.a
UNITS =		regress/unit/test_*.c regress/fuzz/fuzz_*.c \
		regress/bench/growth_*.c
# What is tested is optimised; to do that to the tests takes longer than they.
TESTOPT =	-O0 -U_FORTIFY_SOURCE
T =
QUICK =

# What stands in for imapsync-net in regress/hostile.
STANDIN =	regress/tmp/worker
${STANDIN}: regress/lib/worker.c ${LIBCOMMON}
	mkdir -p regress/tmp
	${CC} ${ALL_CFLAGS} -MF $@.d ${ALL_LDFLAGS} -o $@ \
	    regress/lib/worker.c ${LIBCOMMON} ${LIBS_${OS}}

# What starts a Dovecot for them.
TUNNEL =	regress/tmp/tunnel
${TUNNEL}: regress/lib/tunnel.c
	mkdir -p regress/tmp
	${CC} ${ALL_CFLAGS} -MF $@.d ${ALL_LDFLAGS} -o $@ regress/lib/tunnel.c

# What tells the bench how much a program has used.
COST =		regress/tmp/cost
${COST}: regress/lib/cost.c
	mkdir -p regress/tmp
	${CC} ${ALL_CFLAGS} -MF $@.d ${ALL_LDFLAGS} -o $@ regress/lib/cost.c

# What it measures lines with.
LINE =		regress/tmp/line
${LINE}: regress/lib/line.c
	mkdir -p regress/tmp
	${CC} ${ALL_CFLAGS} -MF $@.d ${ALL_LDFLAGS} -o $@ regress/lib/line.c
FLOOR =		regress/tmp/floor
${FLOOR}: regress/lib/floor.c
	mkdir -p regress/tmp
	${CC} ${ALL_CFLAGS} -MF $@.d ${ALL_LDFLAGS} -o $@ regress/lib/floor.c \
	    -lsqlite3

# What the tests run: an installation below regress/stage.
stage: all ${STANDIN} ${TUNNEL} ${COST} ${LINE} ${FLOOR}
	rm -rf ${STAGE}
	${MAKE} install DESTDIR=${STAGE} PREFIX=/usr

# Every unit test is linked with the objects that it uses: it takes them from
# one archive of all (q: two of them have the same name).  The fuzz targets are
# built as programs that read files.
units: ${LIBCOMMON} ${MAIN} ${ENGINE} ${NET} ${STORE}
	mkdir -p ${UNITDIR}
	rm -f ${UNITLIB} ${UNITDIR}/*
	${AR} qcs ${UNITLIB} ${MAIN} ${ENGINE} ${NET} ${STORE}
	@for src in ${UNITS}; do \
		name=$${src##*/}; name=$${name%.c}; \
		case '${T}' in \
		''|"$${name#*_}"|fuzz) ;; \
		*) continue ;; \
		esac; \
		echo "${CC} -o ${UNITDIR}/$$name $$src"; \
		${CC} ${ALL_CFLAGS} ${TESTOPT} -MF ${UNITLIB}.d \
		    ${ALL_LDFLAGS} -o ${UNITDIR}/$$name $$src \
		    ${UNITLIB} ${LIBCOMMON} \
		    ${LIBS_STORE} ${LIBS_NET_${OS}} ${LIBS_${OS}} || exit 1; \
	done

# For clang's libFuzzer, whose main() takes the place of theirs; everything must
# be built with EXTRA_CFLAGS=-fsanitize=fuzzer-no-link (fuzz/run does it).
fuzzers: ${LIBCOMMON} ${MAIN} ${ENGINE} ${NET} ${STORE}
	mkdir -p ${UNITDIR}
	rm -f ${UNITLIB}
	${AR} qcs ${UNITLIB} ${MAIN} ${ENGINE} ${NET} ${STORE}
	@for src in regress/fuzz/fuzz_*.c; do \
		name=$${src##*/}; name=$${name%.c}; \
		${CC} ${ALL_CFLAGS} -MF ${UNITLIB}.d -Dmain=replay_main \
		    -fsanitize=fuzzer ${ALL_LDFLAGS} \
		    -o ${UNITDIR}/$$name $$src ${UNITLIB} ${LIBCOMMON} \
		    ${LIBS_STORE} ${LIBS_NET_${OS}} ${LIBS_${OS}} || exit 1; \
	done

regress: stage units
	@T='${T}' MAKE='${MAKE}' CC='${CC}' PROVE='${PROVE}' sh regress/run

check: regress

# T=word: only the changes that have it in their file, test or promise.
mutate:
	@MAKE='${MAKE}' CC='${CC}' perl regress/mutate '${T}'

# So many seconds a target, one after the other: regress/fuzz/README.md.
SECONDS =	60
fuzz:
	@MAKE='${MAKE}' sh regress/fuzz/run build >/dev/null
	@sh regress/fuzz/run search ${SECONDS}

# What the seeds of the fuzz targets and the unit tests reach, in lines.
coverage: all
	@MAKE='${MAKE}' sh regress/fuzz/coverage

demo:
	@sh regress/demo

# imapsync beside its peers, where they are installed: regress/bench/README.md.
# QUICK=1: a tenth.  20 GB below TMPDIR, without it.
bench: stage
	@QUICK='${QUICK}' perl regress/bench/run table sweep
	@perl regress/bench/report all regress/tmp/bench

# A million messages and the like: half an hour, and 20 GB below TMPDIR.
bench-scale: stage
	@QUICK='${QUICK}' perl regress/bench/run scale
	@perl regress/bench/report all regress/tmp/bench

# What get-cyrus and the like have fetched stays.
clean-regress:
	rm -rf ${STAGE}
	@for file in regress/tmp/*; do \
		case $$file in \
		regress/tmp/cyrus|regress/tmp/courier) ;; \
		regress/tmp/hoodiecrow) ;; \
		*) rm -rf "$$file" ;; \
		esac; \
	done

.PHONY: stage units fuzzers regress check mutate fuzz coverage demo \
	bench bench-scale clean-regress

# What went wrong once, case by case (regress/CASES.md), on both sides: regress
# takes a half of it.
cases: stage units
	IMAPSYNC_CASES=all ${PROVE} -j3 --timer \
	    `grep -lE 'Imapsync::(Sides|Cases)' regress/*/*.t`

# What a replaced worker may do (regress/hostile/ATTACKS.md), all of it: regress
# takes some of what is alike.
attacks: stage
	IMAPSYNC_ATTACKS=all ${PROVE} --timer regress/hostile/worker-*.t

# The Debian package in Debians of its own: see there.
debian:
	${PROVE} -v --timer regress/debian

# The README's recording, of a run of the demo; pictures/processes.svg was drawn
# by hand.
pictures:
	mkdir -p regress/tmp
	sh regress/demo >regress/tmp/demo.text
	perl pictures/draw <regress/tmp/demo.text >pictures/demo.svg.new
	mv pictures/demo.svg.new pictures/demo.svg

.PHONY: cases attacks debian pictures
