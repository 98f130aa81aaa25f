#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make libbaro.a: one object with all that the push client is made of, in which only the functions
# of baro.h can be seen, so that no name of ours meets a name of the program.
#
# usage: make_static.sh OBJCOPY AR OUT WHOLE_ARCHIVE ARCHIVES... -- COMPILER...
set -e
objcopy=$1 ar=$2 out=$3 whole=$4
shift 4
archives=
while [ "$1" != -- ]; do
    archives="$archives $1"
    shift
done
shift
"$@" -r -nostdlib -o "$out.o" -Wl,--whole-archive "$whole" -Wl,--no-whole-archive \
    -Wl,--start-group $archives -Wl,--end-group
"$objcopy" --localize-hidden "$out.o"
rm -f "$out"
"$ar" rcsD "$out" "$out.o"
rm -f "$out.o"
