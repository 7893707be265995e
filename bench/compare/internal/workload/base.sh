#!/bin/bash
# Makes DIR/rootfs.tar: a minimal Debian that installs build-essential from files of its own, so that no build waits for
# a network. Usage: base.sh DIR
set -euo pipefail
cd "$1"
suite=bookworm

# mirror is where this machine gets Debian from, if it is one.
mirror() {
  local uri
  uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -v '^ *#' | grep -Eo 'https?://[^ ]+/debian/?( |$)' | head -n 1) || true
  echo "${uri:-http://deb.debian.org/debian}"
}

# describe prints the index of a directory of packages.
describe() {
  local deb
  for deb in *.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
  done
}

proxy=$(apt-config shell p Acquire::http::Proxy 2>/dev/null | sed "s/^p='\(.*\)'$/\1/") || true
if [ -z "${http_proxy:-}" ] && [ -n "$proxy" ]; then export http_proxy=$proxy; fi

rm -rf rootfs # left by one that was interrupted
debootstrap --variant=minbase "$suite" rootfs "$(mirror)"
cp /etc/resolv.conf rootfs/etc/resolv.conf
chroot rootfs apt-get update -q
DEBIAN_FRONTEND=noninteractive chroot rootfs apt-get install -q -y --download-only build-essential
mkdir rootfs/repo
mv rootfs/var/cache/apt/archives/*.deb rootfs/repo
(cd rootfs/repo && describe >Packages)
rm -rf rootfs/etc/apt/sources.list.d
echo 'deb [trusted=yes] file:/repo ./' >rootfs/etc/apt/sources.list
rm -rf rootfs/var/cache/apt/*.bin rootfs/var/lib/apt/lists/* rootfs/var/log/* rootfs/etc/{machine-id,resolv.conf,hostname}
tar --sort=name --numeric-owner --xattrs --mtime=@0 --exclude='./dev/*' -C rootfs -cf rootfs.part .
mv rootfs.part rootfs.tar
rm -rf rootfs
