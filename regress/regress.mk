# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The part of the Makefile that tests.  `make regress` runs everything, `make
# regress T=name` one test: regress/*/name.t or regress/unit/test_name.c.

STAGE =		regress/stage
UNITDIR =	regress/tmp/unit
UNITLIB =	regress/tmp/libunit.a
T =

# What the tests run: an installation below regress/stage.
stage: all
	rm -rf ${STAGE}
	${MAKE} install DESTDIR=${STAGE} PREFIX=/usr

# Every unit test is linked with the objects that it uses: it takes them from
# one archive of all.
units: ${LIBCOMMON} ${MAIN} ${NET} ${STORE}
	mkdir -p ${UNITDIR}
	rm -f ${UNITLIB} ${UNITDIR}/*
	${AR} rcs ${UNITLIB} ${MAIN} ${NET} ${STORE}
	@for test in regress/unit/test_*.c; do \
		name=$${test##*/}; name=$${name%.c}; \
		if [ -n '${T}' ] && [ "$$name" != 'test_${T}' ]; then \
			continue; \
		fi; \
		echo "${CC} -o ${UNITDIR}/$$name $$test"; \
		${CC} ${ALL_CFLAGS} -MF ${UNITDIR}/$$name.d ${ALL_LDFLAGS} \
		    -o ${UNITDIR}/$$name $$test ${UNITLIB} ${LIBCOMMON} \
		    ${LIBS_STORE} ${LIBS_NET_${OS}} ${LIBS_${OS}} || exit 1; \
	done

regress: stage units
	@T='${T}' MAKE='${MAKE}' CC='${CC}' PROVE='${PROVE}' sh regress/run

check: regress

demo:
	@sh regress/demo

clean-regress:
	rm -rf ${STAGE} regress/tmp

.PHONY: stage units regress check demo clean-regress
