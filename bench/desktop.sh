# Power-on to the desktop that a live Debian shows. Sourced by run.
# shellcheck shell=bash disable=SC2154

# monitor COMMAND…: to QEMU's human monitor.
monitor() {
  python3 - "$work/monitor.sock" "$*" <<'END'
import socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(60)
monitor.connect(sys.argv[1])
def answer():
    text = b""
    while not text.endswith(b"(qemu) "):
        text += monitor.recv(4096)
answer()
monitor.sendall(sys.argv[2].encode() + b"\n")
answer()
END
}

# What a person would do at the machine PLATFORM: look at the screen, and press a key.
look() {
  rm -f "$work/screen.png"
  if [ "$1" = alcove ]; then
    "$build/alcove" screenshot desktop "$work/screen.png" >/dev/null 2>&1
  else
    monitor screendump "$work/screen.png" -f png >/dev/null 2>&1
  fi
}
press() {
  if [ "$1" = alcove ]; then "$build/alcove" type desktop --key "$2" >/dev/null; else monitor sendkey "${2/enter/ret}"; fi
}
# await PLATFORM PICTURE SECONDS
await() {
  local end=$((SECONDS + $3))
  until look "$1" && "$build/tests/find_picture" "$work/screen.png" "tests/acceptance/pictures/$2.png" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.5
  done
}

# desktop PLATFORM: with two processors, by EFI firmware, from a USB stick; Enter is pressed when the loader's menu is
# there.
desktop() {
  local stick=$cache/debian-12-live/live.iso begin process
  wanted desktop-shown && [ "$1" != native ] || return 0
  # Making it takes root and live-build (scripts/install-dependencies acceptance).
  if [ ! -e "$stick" ] && { [ "$(id -u)" -ne 0 ] || ! command -v lb >/dev/null; }; then
    [ "$1" != alcove ] || echo "$0: desktop-shown is left out: tests/acceptance/make_live_desktop has not made its image" >&2
    return 0
  fi
  tests/acceptance/make_live_desktop "$cache/debian-12-live" >&2
  [ -x "$build/tests/find_picture" ] || cmake --build "$build" --target find_picture >&2
  progress "$1" "desktop"
  begin=${EPOCHREALTIME/./}
  if [ "$1" = alcove ]; then
    export XDG_DATA_HOME=$work/kept XDG_RUNTIME_DIR=$work/kept
    mkdir -p "$work/kept"
    "$build/alcove" create desktop --hypervisor "$hypervisor" --cpus 2 --memory 2GiB --efi --usb-disk "$stick,readonly" \
      --size 1024x768 --keyboard usb --pointer usb >/dev/null
    "$build/alcove" start desktop >/dev/null
  else
    cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/variables.fd"
    rm -f "$work/monitor.sock"
    qemu-system-x86_64 -accel tcg -machine q35 -cpu "$1" -smp 2 -m 2048 -nodefaults -display none \
      -monitor "unix:$work/monitor.sock,server=on,wait=off" -device virtio-gpu-pci,xres=1024,yres=768 \
      -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
      -drive "if=pflash,unit=1,format=raw,file=$work/variables.fd" -device qemu-xhci -device usb-kbd -device usb-tablet \
      -nic user,model=virtio-net-pci -drive "file=$stick,format=raw,if=none,readonly=on,id=stick" \
      -device usb-storage,drive=stick >/dev/null 2>&1 &
    process=$!
  fi
  if await "$1" live-menu 300 && press "$1" enter && await "$1" desktop 1500; then
    result desktop-shown "$1" $(((${EPOCHREALTIME/./} - begin) / 1000)) ms
  fi
  if [ "$1" = alcove ]; then
    "$build/alcove" stop --force desktop >/dev/null
    "$build/alcove" delete --yes desktop >/dev/null
  else
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  fi
}
