# How the benchmarks start a machine; sourced by run. Platforms: alcove, max and qemu64 (TCG with that CPU), native.
# shellcheck shell=bash

# machine PLATFORM CPUS MEMORY_MIB INITRD COMMAND_LINE [DISK [SECOND_DISK NVME_DISK]]: replaces the calling process by
# that machine, with its serial console on standard output, and with a display of 1280x800 that nobody looks at if the
# variable `display` is set.
machine() {
  local platform=$1 cpus=$2 memory=$3 initrd=$4 line=$5 disk=${6:-} second=${7:-} nvme=${8:-}
  if [ "$platform" = alcove ]; then
    exec "$build/alcove" run --hypervisor "$hypervisor" --cpus "$cpus" --memory "${memory}MiB" --kernel "$data/vmlinuz" \
      --initrd "$initrd" --cmdline "$line" ${disk:+--disk "$disk"} ${display:+--size 1280x800} \
      ${second:+--disk "$second" --nvme "$nvme"}
  fi
  exec qemu-system-x86_64 -accel tcg -cpu "$platform" -smp "$cpus" -m "$memory" -nodefaults -display none -serial stdio \
    -no-reboot ${display:+-device virtio-gpu-pci,xres=1280,yres=800} -device virtio-rng-pci -device virtio-balloon-pci -nic user,model=virtio-net-pci \
    -kernel "$data/vmlinuz" -initrd "$initrd" -append "$line" ${disk:+-drive "file=$disk,format=raw,if=virtio"} \
    ${second:+-drive "file=$second,format=raw,if=virtio" -drive "file=$nvme,format=raw,if=none,id=nvme" \
      -device nvme,serial=nvme,drive=nvme}
}

# usb_machine PLATFORM KERNEL INITRD COMMAND_LINE BULK_ONLY_DISK ATTACHED_DISK: as above, with one processor and two
# USB disks, the second with attached SCSI.
usb_machine() {
  local platform=$1 kernel=$2 initrd=$3 line=$4 bulk=$5 attached=$6
  if [ "$platform" = alcove ]; then
    exec "$build/alcove" run --hypervisor "$hypervisor" --memory 512MiB --net none --kernel "$kernel" --initrd "$initrd" \
      --cmdline "$line" --usb-disk "$bulk,uas=off" --usb-disk "$attached,uas=on"
  fi
  exec qemu-system-x86_64 -accel tcg -cpu "$platform" -m 512 -nodefaults -display none -serial stdio -no-reboot \
    -kernel "$kernel" -initrd "$initrd" -append "$line" -device qemu-xhci \
    -drive "file=$bulk,format=raw,if=none,id=bulk" -device usb-storage,drive=bulk \
    -drive "file=$attached,format=raw,if=none,id=attached" -device usb-uas,id=uas \
    -device scsi-hd,bus=uas.0,drive=attached
}

# firmware_machine PLATFORM STICK: boots the stick, a USB disk, by EFI firmware, its variables as they are when new.
firmware_machine() {
  if [ "$1" = alcove ]; then
    exec "$build/alcove" run --hypervisor "$hypervisor" --cpus 1 --memory 256MiB --net none --efi --usb-disk "$2,readonly"
  fi
  cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/variables.fd"
  exec qemu-system-x86_64 -accel tcg -machine q35 -cpu "$1" -m 256 -nodefaults -display none -serial stdio -no-reboot \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive "if=pflash,unit=1,format=raw,file=$work/variables.fd" -device qemu-xhci \
    -drive "file=$2,format=raw,if=none,readonly=on,id=stick" -device usb-storage,drive=stick
}

# watch LIMIT MARKER COMMAND…: runs COMMAND and hands on what it prints, up to the line with MARKER (a regular
# expression) or LIMIT seconds; then runs at_marker with the process and the microseconds it took, and ends it.
watch() {
  local limit=$1 marker=$2 begin process line
  shift 2
  rm -f "$work/fifo"
  mkfifo "$work/fifo"
  begin=${EPOCHREALTIME/./}
  "$@" </dev/null >"$work/fifo" 2>&1 &
  process=$!
  exec 3<"$work/fifo"
  while IFS= read -r -t $((limit + 1 - (${EPOCHREALTIME/./} - begin) / 1000000)) -u 3 line; do
    line=${line%$'\r'}
    echo "$line"
    if [[ $line =~ $marker ]]; then
      at_marker "$process" $((${EPOCHREALTIME/./} - begin))
      break
    fi
    ((${EPOCHREALTIME/./} - begin < limit * 1000000)) || break
  done
  exec 3<&-
  # Its own processes keep the disk a moment longer.
  local child children
  children=$(pgrep -P "$process" || true)
  kill "$process" 2>/dev/null || true
  wait "$process" 2>/dev/null || true
  for child in $children; do timeout 10 tail -s 0.05 --pid="$child" -f /dev/null || kill -KILL "$child" || true; done
}
at_marker() { :; }

# A process and its children.
family() { echo "$1 $(pgrep -P "$1" | xargs)"; }

# Memory of a machine without what is the guest's (shared mappings of its memory), proportional set size in MiB.
memory_beside_guest() {
  local process total=0
  for process in $(family "$1"); do
    total=$((total + $(awk '/^[0-9a-f]+-/ { guest = /alcove guest memory/ } /^Pss:/ && !guest { sum += $2 } END { print sum + 0 }' \
      "/proc/$process/smaps")))
  done
  awk -v kib="$total" 'BEGIN { printf "%.1f\n", kib / 1024 }'
}

# Processor time of a machine in percent of one core, over SECONDS.
processor_share() {  # PROCESS SECONDS
  local before after
  before=$(processor_ticks "$1")
  sleep "$2"
  after=$(processor_ticks "$1")
  awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v seconds="$2" \
    'BEGIN { printf "%.2f\n", 100 * ticks / hertz / seconds }'
}
processor_ticks() {
  local process total=0
  for process in $(family "$1"); do
    total=$((total + $(sed 's/.*) //' "/proc/$process/stat" | awk '{ print $12 + $13 }')))
  done
  echo "$total"
}
