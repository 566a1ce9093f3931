#!/bin/sh
# Makes the small repository that the example works on, with a bug in it.
set -eu
cd "$(dirname "$0")"
rm -rf repository
cp -R files repository
cd repository
git init --quiet --initial-branch=main
git add .
git -c user.name=Example -c user.email=example@localhost -c commit.gpgsign=false commit --quiet -m "Durations"
echo "made $(pwd)"
