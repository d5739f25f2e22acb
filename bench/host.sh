# What guests and their host do together: shared folders, networks, sockets, disks in other formats. Sourced by run.
# shellcheck shell=bash disable=SC2154

# host_machine PLATFORM DISK FOLDER COMMAND_LINE: a Debian with a shared folder, under the tag "bench", the NAT network
# that each has of its own, and virtio sockets. QEMU's folder is served by virtiofsd, in memory that both share, its sockets
# by the host's kernel, if that has vhost_vsock.
host_machine() {
  local platform=$1 disk=$2 folder=$3 line=$4
  if [ "$platform" = alcove ]; then
    exec "$build/alcove" run --hypervisor "$hypervisor" --cpus 1 --memory 512MiB --kernel "$data/vmlinuz" \
      --initrd "$data/initrd.img" --cmdline "$line" --disk "$disk" --share "bench=$folder" \
      --vsock "to-host=$port:$work/server.sock"
  fi
  local socket=$work/virtiofsd.sock
  rm -f "$socket"
  /usr/lib/qemu/virtiofsd --socket-path="$socket" -o source="$folder" -o cache=auto -o sandbox=chroot >/dev/null 2>&1 &
  for _ in $(seq 100); do [ ! -S "$socket" ] || break; sleep 0.05; done
  exec qemu-system-x86_64 -accel tcg -cpu "$platform" -m 512 -nodefaults -display none -serial stdio -no-reboot \
    -object memory-backend-memfd,id=memory,size=512M,share=on -machine memory-backend=memory \
    -chardev "socket,id=folder,path=$socket" -device vhost-user-fs-pci,chardev=folder,tag=bench \
    -nic user,model=virtio-net-pci -kernel "$data/vmlinuz" -initrd "$data/initrd.img" -append "$line" \
    -drive "file=$disk,format=raw,if=virtio" $([ ! -w /dev/vhost-vsock ] || echo -device vhost-vsock-pci,guest-cid=$$)
}

with_host() {  # PLATFORM
  local rows server port=45871
  rows=$(rows_of host)
  [ -n "$rows" ] && [ "$1" != native ] || return 0
  if [ ! -e "$work/host.img" ]; then
    g++ -O2 -static -std=c++20 -o "$work/folder" bench/programs/folder.cpp
    g++ -O2 -static -std=c++20 -o "$work/network" bench/programs/network.cpp
    cp --sparse=always "$data/disk.img" "$work/host.img"
    printf '%s\n' "mkdir /bench" "write bench/host-rows /bench/rows" "write $work/folder /bench/folder" \
      "write $work/network /bench/network" "sif /bench/folder mode 0100755" "sif /bench/network mode 0100755" |
      debugfs -w -f - "$work/host.img" >/dev/null 2>&1
  fi
  progress "$1" "with the host: $rows"
  "$work/network" serve $port "$work/server.sock" &
  server=$!
  rm -rf "$work/shared"
  mkdir "$work/shared"
  watch 300 'bench: done' host_machine "$1" "$work/host.img" "$work/shared" \
    "root=/dev/vda rw console=ttyS0 quiet init=/bin/bash -- /bench/rows $seconds $port $rows" | keep_rows "$1" $rows
  kill $server 2>/dev/null || true
  wait $server 2>/dev/null || true
}

# formats_machine PLATFORM COMMAND_LINE: as for disks, with a qcow2 image and a network block device.
formats_machine() {
  local url="nbd+unix:///?socket=$work/nbd.sock"
  if [ "$1" = alcove ]; then
    exec "$build/alcove" run --hypervisor "$hypervisor" --cpus 1 --memory 512MiB --net none --kernel "$data/vmlinuz" \
      --initrd "$data/initrd.img" --cmdline "$2" --disk "$work/disks.img" --disk "$work/format.qcow2" --disk "$url"
  fi
  exec qemu-system-x86_64 -accel tcg -cpu "$1" -m 512 -nodefaults -display none -serial stdio -no-reboot \
    -kernel "$data/vmlinuz" -initrd "$data/initrd.img" -append "$2" -drive "file=$work/disks.img,format=raw,if=virtio" \
    -drive "file=$work/format.qcow2,format=qcow2,if=virtio" -drive "file=$url,format=raw,if=virtio"
}

formats() {  # PLATFORM
  local rows server
  rows=$(rows_of format)
  [ -n "$rows" ] && [ "$1" != native ] || return 0
  prepare_disks
  if [ ! -e "$work/format.qcow2" ]; then
    qemu-img convert -O qcow2 "$work/virtio.img" "$work/format.qcow2"
    cp "$work/virtio.img" "$work/served.img"
  fi
  progress "$1" "disk formats: $rows"
  rm -f "$work/nbd.sock"
  nbdkit -f -U "$work/nbd.sock" file "$work/served.img" &
  server=$!
  for _ in $(seq 100); do [ ! -S "$work/nbd.sock" ] || break; sleep 0.05; done
  watch 300 'bench: done' formats_machine "$1" \
    "root=/dev/vda console=ttyS0 quiet init=/usr/sbin/read-disks -- $seconds qcow2=/dev/vdb nbd=/dev/vdc" |
    keep_rows "$1" $rows
  kill $server 2>/dev/null || true
  wait $server 2>/dev/null || true
}
