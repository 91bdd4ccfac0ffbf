# shellcheck shell=sh
# $0: the action script. $1: the resource's name. 120: it could not be asked, or its answer is none; no code of the contract
# says that, and 2 of `exclusive` is "runs here".
unset files
trap 'rm -rf ${files:+"$files"}' EXIT
trap 'exit 143' HUP INT TERM
if ! { files=$(mktemp -d "${TMPDIR:-/tmp}/failover.XXXXXX") && echo "$1" >"$files/in" && : >"$files/out"; }; then
    echo "the input and output files of $0 could not be made in ${TMPDIR:-/tmp}" >&2
    exit 120
fi
"$0" "$files/in" "$files/out"
code=$?
[ $code -eq 0 ] || exit $code
# `read` fails at a last line without its end, and has read it all the same.
while read -r name status rest || [ -n "$name" ]; do
    [ "$name" != "$1" ] || code=$status
done <"$files/out"
case $code in
0 | [1-9] | [1-9][0-9] | 1[0-9][0-9]) exit "$code" ;;
esac
echo "$0 wrote a status that is no number below 200" >&2
exit 120
