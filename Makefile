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

COMMON =	common/buf.o common/flags.o common/imsg.o common/log.o \
		common/proto.o common/sandbox-linux.o common/sandbox-openbsd.o \
		common/uidset.o
LIBCOMMON =	common/libcommon.a

NET =		imapsync-net/lex.o imapsync-net/parse.o imapsync-net/cmdq.o \
		imapsync-net/session.o imapsync-net/request.o \
		imapsync-net/mailbox.o imapsync-net/list.o \
		imapsync-net/copysend.o imapsync-net/copyrecv.o \
		imapsync-net/key.o imapsync-net/stream.o imapsync-net/pin.o \
		imapsync-net/sasl.o imapsync-net/scram.o imapsync-net/socks.o
STORE =		imapsync-store/db.o imapsync-store/file.o imapsync-store/pair.o

PROGS =		imapsync-net/imapsync-net imapsync-store/imapsync-store

all: ${LIBCOMMON} ${PROGS}

.SUFFIXES: .c .o
.c.o:
	${CC} ${ALL_CFLAGS} -c -o $@ $<

${LIBCOMMON}: ${COMMON}
	rm -f $@
	${AR} rcs $@ ${COMMON}

imapsync-net/imapsync-net: imapsync-net/main.o ${NET} ${LIBCOMMON}
	${CC} ${ALL_LDFLAGS} -o $@ imapsync-net/main.o ${NET} ${LIBCOMMON} \
	    ${LIBS_NET_${OS}} ${LIBS_${OS}}

imapsync-store/imapsync-store: imapsync-store/main.o ${STORE} ${LIBCOMMON}
	${CC} ${ALL_LDFLAGS} -o $@ imapsync-store/main.o ${STORE} ${LIBCOMMON} \
	    ${LIBS_STORE} ${LIBS_${OS}}

clean:
	rm -f */*.o */*.d ${LIBCOMMON} ${PROGS} imapsync/pathnames.h

.PHONY: all clean

# What the compiler found out about headers; bmake wants a line for each.
-include common/buf.d
-include common/flags.d
-include common/imsg.d
-include common/log.d
-include common/proto.d
-include common/sandbox-linux.d
-include common/sandbox-openbsd.d
-include common/uidset.d
-include imapsync-net/lex.d
-include imapsync-net/parse.d
-include imapsync-net/cmdq.d
-include imapsync-net/session.d
-include imapsync-net/request.d
-include imapsync-net/mailbox.d
-include imapsync-net/list.d
-include imapsync-net/copysend.d
-include imapsync-net/copyrecv.d
-include imapsync-net/key.d
-include imapsync-net/stream.d
-include imapsync-net/pin.d
-include imapsync-net/sasl.d
-include imapsync-net/scram.d
-include imapsync-net/socks.d
-include imapsync-store/db.d
-include imapsync-store/file.d
-include imapsync-store/pair.d
-include imapsync-net/main.d
-include imapsync-store/main.d
