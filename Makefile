# One file for GNU make, bmake and OpenBSD's make: no conditionals, no pattern
# rules.  `make` works in a fresh checkout; `configure` may write config.mk.

PREFIX =	/usr/local
BINDIR =	${PREFIX}/bin
LIBEXECDIR =	${PREFIX}/libexec/imapsync
MANDIR =	${PREFIX}/share/man
EXAMPLEDIR =	${PREFIX}/share/examples/imapsync

OS !=		uname -s
CC =		cc
AR =		ar
INSTALL =	install
PROVE =		prove

PKGS_Linux =	libtls libbsd-overlay sqlite3 zlib libseccomp
PKGS_OpenBSD =	sqlite3
PKG_CFLAGS !=	pkg-config --cflags ${PKGS_${OS}} 2>/dev/null || :

WARN =		-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
		-Wpointer-arith -Wsign-compare -Wwrite-strings
WERROR =
OPT =		-O2 -g
HARDEN_Linux =	-fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
LDHARDEN_Linux = -pie -Wl,-z,relro -Wl,-z,now
CPPFLAGS_Linux = -D_GNU_SOURCE -DLIBBSD_OPENBSD_VIS
CFLAGS =	${OPT} ${HARDEN_${OS}}
LDFLAGS =	${LDHARDEN_${OS}}
EXTRA_CFLAGS =
EXTRA_LDFLAGS =

LIBS_Linux =	-lseccomp -lbsd -lmd
LIBS_NET_Linux = -ltls -lcrypto -lz
LIBS_NET_OpenBSD = -ltls -lssl -lcrypto -lz
LIBS_STORE =	-lsqlite3
LIBDIRS_OpenBSD = -L/usr/local/lib

-include config.mk

ALL_CFLAGS =	-std=gnu99 ${WARN} ${WERROR} ${CPPFLAGS_${OS}} ${PKG_CFLAGS} \
		-Icommon -I. -MMD ${CFLAGS} ${EXTRA_CFLAGS}
ALL_LDFLAGS =	${LDFLAGS} ${LIBDIRS_${OS}} ${EXTRA_LDFLAGS}

COMMON =	common/buf.o common/clock.o common/flags.o common/imsg.o \
		common/json.o common/log.o common/near.o common/notify.o \
		common/say.o common/show.o common/proto.o \
		common/sandbox-linux.o common/sandbox-openbsd.o \
		common/uidset.o common/utf7.o
LIBCOMMON =	common/libcommon.a

MAIN =		imapsync/main.o imapsync/conf.o imapsync/confval.o \
		imapsync/pattern.o imapsync/connect.o imapsync/secret.o \
		imapsync/spawn.o imapsync/start.o imapsync/supervise.o \
		imapsync/backoff.o imapsync/errs.o imapsync/await.o \
		imapsync/draft.o imapsync/init.o imapsync/initremote.o \
		imapsync/initlocal.o imapsync/result.o
ENGINE =	imapsync/engine/engine.o imapsync/engine/list.o \
		imapsync/engine/rename.o imapsync/engine/follow.o \
		imapsync/engine/gone.o \
		imapsync/engine/import.o \
		imapsync/engine/compare.o imapsync/engine/subscribe.o \
		imapsync/engine/recover.o imapsync/engine/discover.o \
		imapsync/engine/pair.o imapsync/engine/repair.o \
		imapsync/engine/rules.o imapsync/engine/plan.o \
		imapsync/engine/verify.o imapsync/engine/guard.o \
		imapsync/engine/moved.o imapsync/engine/move.o \
		imapsync/engine/anew.o imapsync/engine/learn.o \
		imapsync/engine/execute.o \
		imapsync/engine/copy.o \
		imapsync/engine/session.o imapsync/engine/finish.o \
		imapsync/engine/refusal.o imapsync/engine/commands.o \
		imapsync/engine/probe.o \
		imapsync/engine/watch.o imapsync/engine/report.o \
		imapsync/engine/json.o imapsync/engine/ledger.o \
		imapsync/engine/status.o imapsync/engine/check.o imapsync/engine/look.o \
		imapsync/engine/loop.o imapsync/engine/events.o \
		imapsync/engine/end.o imapsync/engine/ask.o \
		imapsync/engine/progress.o imapsync/engine/which.o \
		imapsync/engine/names.o imapsync/engine/map.o \
		imapsync/engine/settle.o \
		imapsync/engine/mbox.o
NET =		imapsync-net/worker.o imapsync-net/loop.o \
		imapsync-net/setup.o imapsync-net/lex.o \
		imapsync-net/parse.o imapsync-net/fetch.o \
		imapsync-net/key.o imapsync-net/cmdq.o \
		imapsync-net/session.o imapsync-net/request.o \
		imapsync-net/ops.o imapsync-net/expunge.o \
		imapsync-net/handle.o \
		imapsync-net/mailbox.o imapsync-net/list.o \
		imapsync-net/stats.o imapsync-net/copysend.o \
		imapsync-net/copyrecv.o imapsync-net/watch.o \
		imapsync-net/level.o imapsync-net/stream.o \
		imapsync-net/tlsconf.o \
		imapsync-net/pin.o imapsync-net/b64.o \
		imapsync-net/sasl.o imapsync-net/scram.o \
		imapsync-net/socks.o imapsync-net/once.o \
		imapsync-net/lost.o imapsync-net/select.o \
		imapsync-net/bridge.o \
		imapsync-net/qresync.o imapsync-net/condstore.o \
		imapsync-net/plain.o imapsync-net/strategy.o
STORE =		imapsync-store/add.o imapsync-store/db.o imapsync-store/file.o \
		imapsync-store/import.o \
		imapsync-store/left.o imapsync-store/look.o \
		imapsync-store/pair.o imapsync-store/runs.o

PROGS =		imapsync/imapsync imapsync-net/imapsync-net \
		imapsync-store/imapsync-store

all: ${PROGS}

.SUFFIXES: .c .o
.c.o:
	${CC} ${ALL_CFLAGS} -c -o $@ $<

${LIBCOMMON}: ${COMMON}
	rm -f $@
	${AR} rcs $@ ${COMMON}

imapsync/imapsync: ${MAIN} ${ENGINE} ${LIBCOMMON}
	${CC} ${ALL_LDFLAGS} -o $@ ${MAIN} ${ENGINE} ${LIBCOMMON} ${LIBS_${OS}}

imapsync-net/imapsync-net: imapsync-net/main.o ${NET} ${LIBCOMMON}
	${CC} ${ALL_LDFLAGS} -o $@ imapsync-net/main.o ${NET} ${LIBCOMMON} \
	    ${LIBS_NET_${OS}} ${LIBS_${OS}}

imapsync-store/imapsync-store: imapsync-store/main.o ${STORE} ${LIBCOMMON}
	${CC} ${ALL_LDFLAGS} -o $@ imapsync-store/main.o ${STORE} ${LIBCOMMON} \
	    ${LIBS_STORE} ${LIBS_${OS}}

# Where the workers are is compiled in; objects are rebuilt when it changes.
imapsync/start.o imapsync/conf.o imapsync/draft.o: imapsync/pathnames.h
imapsync/pathnames.h: FORCE
	@echo '#define PATH_LIBEXEC "${LIBEXECDIR}"' >$@.new
	@echo '#define PATH_EXAMPLES "${EXAMPLEDIR}"' >>$@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi
FORCE:

# What --init writes is what etc/ has, but for the licence above the first empty
# line.
imapsync/initlocal.o: imapsync/samples.h
imapsync/samples.h: etc/dovecot-local.conf etc/dovecot-local-2.4.conf
	@for v in local local-2.4; do \
		echo "static const char sample_$$v[] =" | tr -d .-; \
		sed -e '1,/^$$/d' -e 's/\\/\\\\/g' -e 's/"/\\"/g' \
		    -e 's/.*/	"&\\n"/' "etc/dovecot-$$v.conf"; \
		echo '	;'; \
	done >$@.new
	@mv $@.new $@

MAN1 =		man/imapsync.1
MAN5 =		man/imapsync.conf.5
MAN8 =		man/imapsync-net.8 man/imapsync-store.8
EXAMPLES =	etc/imapsync.conf etc/crontab etc/dovecot-local.conf \
		etc/dovecot-local-2.4.conf etc/imapsync.schema.json \
		etc/imapsync.logrotate etc/imapsync.newsyslog
FLEET =		README.md generate parallel report run shard slice \
		slurm.sbatch kubernetes/Containerfile kubernetes/cronjob.yaml \
		kubernetes/job.yaml systemd/imapsync-fleet.slice \
		systemd/imapsync-fleet@.service systemd/imapsync-fleet@.timer

# Manuals and samples name the paths of /usr/local: where it goes to is put in.
PATHS =		sed -e 's|/usr/local/share/examples/imapsync|${EXAMPLEDIR}|g' \
		    -e 's|/usr/local/libexec/imapsync|${LIBEXECDIR}|g' \
		    -e 's|/usr/local/bin|${BINDIR}|g'

install: all
	${INSTALL} -d "${DESTDIR}${BINDIR}" "${DESTDIR}${LIBEXECDIR}" \
	    "${DESTDIR}${MANDIR}/man1" "${DESTDIR}${MANDIR}/man5" \
	    "${DESTDIR}${MANDIR}/man8" "${DESTDIR}${EXAMPLEDIR}"
	${INSTALL} -m 755 imapsync/imapsync "${DESTDIR}${BINDIR}"
	${INSTALL} -m 755 imapsync-net/imapsync-net \
	    imapsync-store/imapsync-store "${DESTDIR}${LIBEXECDIR}"
	@for file in ${MAN1} ${MAN5} ${MAN8}; do \
		to="${DESTDIR}${MANDIR}/man$${file##*.}/$${file##*/}"; \
		${PATHS} "$$file" >"$$to" && chmod 644 "$$to" || exit 1; \
	done
	@for file in ${EXAMPLES}; do \
		to="${DESTDIR}${EXAMPLEDIR}/$${file##*/}"; \
		${PATHS} "$$file" >"$$to" && chmod 644 "$$to" || exit 1; \
	done
	@${INSTALL} -d "${DESTDIR}${EXAMPLEDIR}/fleet/kubernetes" \
	    "${DESTDIR}${EXAMPLEDIR}/fleet/systemd"
	@for file in ${FLEET}; do \
		to="${DESTDIR}${EXAMPLEDIR}/fleet/$$file"; \
		mode=644; [ ! -x "etc/fleet/$$file" ] || mode=755; \
		${PATHS} "etc/fleet/$$file" >"$$to" && \
		    chmod $$mode "$$to" || exit 1; \
	done

# Directories that nothing else is in go as well; below DESTDIR all of them, else
# those that a system does not have by itself.
uninstall:
	rm -f "${DESTDIR}${BINDIR}/imapsync"
	rm -rf "${DESTDIR}${LIBEXECDIR}" "${DESTDIR}${EXAMPLEDIR}"
	@for file in ${MAN1} ${MAN5} ${MAN8}; do \
		rm -f "${DESTDIR}${MANDIR}/man$${file##*.}/$${file##*/}" || \
		    exit 1; \
	done
	@for dir in "${LIBEXECDIR}" "${EXAMPLEDIR}"; do \
		rmdir "${DESTDIR}$${dir%/*}" 2>/dev/null || :; \
	done
	@for n in 1 5 8; do \
		rmdir "${DESTDIR}${MANDIR}/man$$n" 2>/dev/null || :; \
	done
	@[ -z "${DESTDIR}" ] || { cd "${DESTDIR}" && \
	    for dir in "${LIBEXECDIR}" "${EXAMPLEDIR}" "${MANDIR}" \
	    "${BINDIR}"; do \
		while [ -n "$$dir" ]; do \
			rmdir ".$$dir" 2>/dev/null || [ ! -d ".$$dir" ] || \
			    break; \
			dir=$${dir%/*}; \
		done; \
	done; }

include regress/regress.mk

lint:
	mandoc -T lint -W warning ${MAN1} ${MAN5} ${MAN8}

clean: clean-regress
	rm -f */*.o */*.d */*/*.o */*/*.d ${LIBCOMMON} ${PROGS} imapsync/pathnames.h \
	    imapsync/samples.h

.PHONY: all install uninstall lint clean FORCE

# What the compiler found out about headers; bmake wants a line for each.
-include common/buf.d
-include common/flags.d
-include common/imsg.d
-include common/json.d
-include common/log.d
-include common/clock.d
-include common/near.d
-include common/notify.d
-include common/say.d
-include common/show.d
-include common/proto.d
-include common/sandbox-linux.d
-include common/sandbox-openbsd.d
-include common/uidset.d
-include common/utf7.d
-include imapsync/main.d
-include imapsync/conf.d
-include imapsync/confval.d
-include imapsync/pattern.d
-include imapsync/connect.d
-include imapsync/secret.d
-include imapsync/spawn.d
-include imapsync/start.d
-include imapsync/supervise.d
-include imapsync/backoff.d
-include imapsync/errs.d
-include imapsync/await.d
-include imapsync/draft.d
-include imapsync/init.d
-include imapsync/initremote.d
-include imapsync/initlocal.d
-include imapsync/result.d
-include imapsync/engine/engine.d
-include imapsync/engine/anew.d
-include imapsync/engine/learn.d
-include imapsync/engine/import.d
-include imapsync/engine/list.d
-include imapsync/engine/rename.d
-include imapsync/engine/follow.d
-include imapsync/engine/gone.d
-include imapsync/engine/compare.d
-include imapsync/engine/subscribe.d
-include imapsync/engine/recover.d
-include imapsync/engine/discover.d
-include imapsync/engine/pair.d
-include imapsync/engine/repair.d
-include imapsync/engine/rules.d
-include imapsync/engine/plan.d
-include imapsync/engine/verify.d
-include imapsync/engine/guard.d
-include imapsync/engine/moved.d
-include imapsync/engine/move.d
-include imapsync/engine/execute.d
-include imapsync/engine/copy.d
-include imapsync/engine/session.d
-include imapsync/engine/finish.d
-include imapsync/engine/refusal.d
-include imapsync/engine/commands.d
-include imapsync/engine/probe.d
-include imapsync/engine/watch.d
-include imapsync/engine/report.d
-include imapsync/engine/json.d
-include imapsync/engine/ledger.d
-include imapsync/engine/status.d
-include imapsync/engine/check.d
-include imapsync/engine/look.d
-include imapsync/engine/loop.d
-include imapsync/engine/events.d
-include imapsync/engine/end.d
-include imapsync/engine/ask.d
-include imapsync/engine/progress.d
-include imapsync/engine/names.d
-include imapsync/engine/which.d
-include imapsync/engine/map.d
-include imapsync/engine/settle.d
-include imapsync/engine/mbox.d
-include imapsync-net/main.d
-include imapsync-net/worker.d
-include imapsync-net/once.d
-include imapsync-net/lost.d
-include imapsync-net/select.d
-include imapsync-net/strategy.d
-include imapsync-net/qresync.d
-include imapsync-net/condstore.d
-include imapsync-net/plain.d
-include imapsync-net/loop.d
-include imapsync-net/setup.d
-include imapsync-net/lex.d
-include imapsync-net/parse.d
-include imapsync-net/fetch.d
-include imapsync-net/key.d
-include imapsync-net/cmdq.d
-include imapsync-net/session.d
-include imapsync-net/request.d
-include imapsync-net/ops.d
-include imapsync-net/expunge.d
-include imapsync-net/handle.d
-include imapsync-net/mailbox.d
-include imapsync-net/list.d
-include imapsync-net/stats.d
-include imapsync-net/bridge.d
-include imapsync-net/copysend.d
-include imapsync-net/copyrecv.d
-include imapsync-net/watch.d
-include imapsync-net/level.d
-include imapsync-net/stream.d
-include imapsync-net/tlsconf.d
-include imapsync-net/pin.d
-include imapsync-net/b64.d
-include imapsync-net/sasl.d
-include imapsync-net/scram.d
-include imapsync-net/socks.d
-include imapsync-store/add.d
-include imapsync-store/db.d
-include imapsync-store/file.d
-include imapsync-store/import.d
-include imapsync-store/left.d
-include imapsync-store/look.d
-include imapsync-store/pair.d
-include imapsync-store/runs.d
-include imapsync-store/main.d
