dnl Finds liblastlight.a and lastlight.h where `--with-lastlight=DIR` says: DIR/lib and DIR/include, as bindings/php/build lays them.
PHP_ARG_WITH([lastlight], [for the lastlight extension],
  [AS_HELP_STRING([--with-lastlight=DIR], [The agent in the process: DIR has lib/liblastlight.a and include/lastlight.h])])

PHP_ARG_ENABLE([lastlight-werror], [whether warnings are errors],
  [AS_HELP_STRING([--enable-lastlight-werror], [Compile with -Wall -Wextra -Werror])], [no], [no])

if test "$PHP_LASTLIGHT" != "no"; then
  if test ! -f "$PHP_LASTLIGHT/lib/liblastlight.a" || test ! -f "$PHP_LASTLIGHT/include/lastlight.h"; then
    AC_MSG_ERROR([lib/liblastlight.a and include/lastlight.h are not in "$PHP_LASTLIGHT"; bindings/php/build makes them])
  fi
  PHP_ADD_INCLUDE([$PHP_LASTLIGHT/include])
  dnl Only get_module is seen from outside: no symbol of the library meets the host's. Never unloaded: where the agent is a
  dnl thread of this process, its code must outlive it whatever PHP does at its end.
  EXTRA_LDFLAGS="$EXTRA_LDFLAGS $PHP_LASTLIGHT/lib/liblastlight.a -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc -Wl,--exclude-libs,ALL -Wl,-z,nodelete -Wl,--gc-sections"
  PHP_SUBST(EXTRA_LDFLAGS)
  LASTLIGHT_CFLAGS="-std=gnu11 -fvisibility=hidden -DZEND_ENABLE_STATIC_TSRMLS_CACHE=1"
  if test "$PHP_LASTLIGHT_WERROR" != "no"; then
    dnl PHP's own headers are not clean of these two.
    LASTLIGHT_CFLAGS="$LASTLIGHT_CFLAGS -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare"
  fi
  PHP_NEW_EXTENSION([lastlight],
    [lastlight.c src/errors.c src/functions.c src/host.c src/info.c src/logs.c src/metrics.c src/request.c src/settings.c src/span.c src/trace.c src/url.c],
    [$ext_shared],, [$LASTLIGHT_CFLAGS])
  PHP_ADD_BUILD_DIR([$ext_builddir/src], 1)
  PHP_ADD_EXTENSION_DEP(lastlight, json)
fi
