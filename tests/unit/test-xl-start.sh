#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) libcolo developers
#
# colo-xl and the ssh that it puts before xl, with stand-ins for xl and ssh: the
# words arrive as they were, the object is loaded into xl and not into ssh, and
# the other host starts colo-xl if it has it.
set -eu

top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
dir=$(mktemp -d "${TMPDIR:-/tmp}/colo-xl-start.XXXXXX")
trap 'rm -rf "$dir"' EXIT
failed=0

bad() { echo "test-xl-start: $*" >&2; failed=1; }
is() { [ "$2" = "$3" ] || bad "$1: got <$2>, want <$3>"; }

mkdir "$dir/bin" "$dir/far" "$dir/far2" "$dir/lib exec"
ln -s "$(cd "$top" && pwd)/xl-plugin/colo-xl-bin" "$dir/lib exec/colo-xl-bin"
sed -e "s|@pkglibdir@|$dir|" -e "s|@pkglibexecdir@|$dir/lib exec|" \
    "$top/xl-plugin/colo-xl.in" >"$dir/bin/colo-xl"
# an empty file is nothing to load: the loader says so, on stderr
: >"$dir/libxl-colo.so"

cat >"$dir/bin/xl" <<'END'
#!/bin/sh
echo "preload=$LD_PRELOAD"
for w in "$@"; do echo "word=$w"; done
# as xl does, for remus
[ "$1" != remus ] || exec sh -c "exec ssh -p 22 host xl migrate-receive -r  -e"
END
cat >"$dir/bin/ssh" <<'END'
#!/bin/sh
echo "ssh-preload=${LD_PRELOAD-}"
echo "ssh-words=$#"
while [ "$1" != host ]; do echo "option=$1"; shift; done
shift
PATH=$FAR:$PATH
exec sh -c "$*"
END
for name in xl colo-xl; do
    # $* is the stand-in's own
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "far=%s $*"\n' "$name" >"$dir/far/$name"
done
cp "$dir/far/xl" "$dir/far2/"
chmod +x "$dir/bin"/* "$dir/far"/* "$dir/far2"/*

run() { # FAR WORD...: what is said, without the loader's complaints
    far=$1
    shift
    FAR=$far PATH="$dir/bin:/usr/bin:/bin" "$dir/bin/colo-xl" "$@" 2>"$dir/err"
}

# every word as it was
out=$(run "$dir/far" list 'a b' '' '*')
is list "$out" "preload=$dir/libxl-colo.so
word=list
word=a b
word=
word=*"

# somebody else's preload stays
out=$(LD_PRELOAD="$dir/other.so" run "$dir/far" info | head -1)
is preload "$out" "preload=$dir/libxl-colo.so:$dir/other.so"

out=$(run "$dir/far" remus -i 50 vm host | sed 1,6d)
is remus "$out" "ssh-preload=
ssh-words=7
option=-p
option=22
far=colo-xl migrate-receive -r -e"

# no libcolo over there
mv "$dir/bin/colo-xl" "$dir/colo-xl"
out=$(FAR="$dir/far2" PATH="$dir/lib exec/colo-xl-bin:$dir/bin:/usr/bin:/bin" \
    ssh -p 22 host xl migrate-receive -r -e | tail -1)
is stock "$out" "far=xl migrate-receive -r -e"

# any other use of ssh is left alone
cat >"$dir/bin/ssh" <<'END'
#!/bin/sh
for w in "$@"; do echo "word=$w"; done
END
out=$(PATH="$dir/lib exec/colo-xl-bin:$dir/bin:/usr/bin:/bin" \
    ssh host xl list 'migrate-receive xl' xl)
is other "$out" "word=host
word=xl
word=list
word=migrate-receive xl
word=xl"

# The real xl, where there is one, calls the two in the object that was built,
# and libxl for all else.
plugin=../../xl-plugin/.libs/libxl-colo.so
for xl in /usr/lib/xen-*/bin/xl /usr/local/lib/colo-tests/xen/bin/xl; do
    if [ ! -x "$xl" ] || [ ! -e "$plugin" ] || ldd "$xl" | grep -q 'not found'
    then
        continue
    fi
    out=$(LD_PRELOAD=$plugin LD_BIND_NOW=1 LD_DEBUG=bindings "$xl" help 2>&1 |
        sed -n "s|.*binding file $xl .* to \(.*\) \[0\].* .\(libxl_domain_[a-z_]*\)'.*|\2 \1|p" |
        grep -E '^libxl_domain_(remus_start|create_restore|suspend) ' |
        sed 's| .*/| |; s|\.so.*||' | sort -u)
    is "$xl" "$out" "libxl_domain_create_restore libxl-colo
libxl_domain_remus_start libxl-colo
libxl_domain_suspend libxenlight"
done

rm "$dir/libxl-colo.so"
cp "$dir/colo-xl" "$dir/bin/colo-xl"
if run "$dir/far" list >/dev/null; then
    bad "colo-xl without its object"
fi
grep -q 'libxl-colo.so is not there' "$dir/err" || bad "and without a word"
exit $failed
