# bash completion for alcove

# Adds to COMPREPLY what of the lines of standard input begins with $1.
_alcove_add() {
  local line
  while IFS= read -r line; do [[ $line == "$1"* ]] && COMPREPLY+=("$line"); done
}

_alcove_machines() {
  local folder
  for folder in "${XDG_DATA_HOME:-$HOME/.local/share}"/alcove/*.alcove; do
    [ -d "$folder" ] && folder=${folder##*/} && echo "${folder%.alcove}"
  done
}

_alcove_files() {
  compopt -o filenames 2>/dev/null
  local line
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$@")
}

# Behind a comma in $1, which of the options $2… it begins; false before a comma.
_alcove_list() {
  local current=$1 word
  shift
  if [[ $current != *,* ]]; then return 1; fi
  compopt -o nospace 2>/dev/null
  for word in "$@"; do [[ $word == "${current##*,}"* ]] && COMPREPLY+=("${current%,*},$word"); done
  return 0
}

_alcove() {
  local command=${COMP_WORDS[1]} current=$2 previous=$3 key=
  COMPREPLY=()
  # Bash breaks words at "=": --kernel=FILE, and disk.img,caching=auto.
  if [ "$previous" = "=" ]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
    key=${previous##*,}
    # --share TAG=FOLDER
    if [ "$COMP_CWORD" -gt 3 ] && [ "${COMP_WORDS[COMP_CWORD - 3]}" = --share ]; then previous=--share key=; fi
  fi
  if [ "$COMP_CWORD" -eq 1 ]; then
    _alcove_add "$current" < <(printf '%s\n' run create start stop pause resume console view screenshot usb network storage stats events connect ssh type list info delete efi disk doctor --help --version)
    return
  fi
  case $key in
    caching) _alcove_add "$current" < <(printf '%s\n' auto cached uncached); return ;;
    format)
      local index=$COMP_CWORD
      while [[ $index -gt 0 && ${COMP_WORDS[index]} != --* ]]; do index=$((index - 1)); done
      if [ "${COMP_WORDS[index]}" = --sound ]; then
        _alcove_add "$current" < <(printf '%s\n' u8 s16 s24 s32 f32)
      else
        _alcove_add "$current" < <(printf '%s\n' auto raw qcow2)
      fi
      return ;;
    output|input)
      _alcove_list "$current" rate= channels= format= loop output= input= && return
      _alcove_files -f -- "$current"
      _alcove_add "$current" < <([ "$key" = output ] && printf '%s\n' host null || printf '%s\n' host silence)
      return ;;
    rate) _alcove_add "$current" < <(printf '%s\n' 8000 16000 44100 48000 96000); return ;;
    channels) _alcove_add "$current" < <(printf '%s\n' 1 2 4 6 8); return ;;
    base|cache-file) _alcove_files -f -- "$current"; return ;;
    uas|nat44|nat66|dhcp|dns|ra) _alcove_add "$current" < <(printf '%s\n' on off); return ;;
    interface) _alcove_add "$current" < <(ls /sys/class/net 2>/dev/null); return ;;
    sync) _alcove_add "$current" < <(printf '%s\n' full fsync none); return ;;
    cache) _alcove_add "$current" < <(printf '%s\n' auto none always); return ;;
    owner) _alcove_add "$current" < <(printf '%s\n' host virtual); return ;;
    to-host|to-guest|cid) return ;;
    forward) _alcove_add "$current" < <(printf '%s\n' tcp: udp:); compopt -o nospace 2>/dev/null; return ;;
  esac
  case $previous in
    --kernel|--initrd|--efi|--iso) _alcove_files -f -- "$current"; return ;;
    --disk) _alcove_list "$current" readonly format= backing base= cache-file= caching= sync= bytes-per-second= operations-per-second= id= || _alcove_files -f -- "$current"; return ;;
    --nvme) [ "$command" = storage ] || { _alcove_list "$current" readonly format= backing base= cache-file= caching= sync= bytes-per-second= operations-per-second= serial= || _alcove_files -f -- "$current"; return; } ;;
    --usb-disk) _alcove_list "$current" readonly cdrom uas= format= backing base= cache-file= caching= sync= bytes-per-second= operations-per-second= || _alcove_files -f -- "$current"; return ;;
    --share) _alcove_list "$current" readonly cache= owner= locks mount= dax= name= || _alcove_files -d -- "$current"; return ;;
    --vsock) _alcove_list "$current" to-host= to-guest= cid= || { compopt -o nospace 2>/dev/null; _alcove_add "$current" < <(printf '%s\n' on none to-host= to-guest= cid=); }; return ;;
    --sound) _alcove_list "$current" output= input= || { compopt -o nospace 2>/dev/null; _alcove_add "$current" < <(printf '%s\n' host none output= input=); }; return ;;
    --identity) _alcove_files -f -- "$current"; return ;;
    --net) _alcove_list "$current" forward= allow= deny= mac= peers hostname= mtu= subnet= prefix= address= interface= host-only nat44= nat66= dhcp= dns= ra= || _alcove_add "$current" < <(printf '%s\n' nat network= tap= passt fd= none); return ;;
    --device) return ;;
    --format|--to|--backing-format) _alcove_add "$current" < <(printf '%s\n' raw qcow2); return ;;
    --compress) _alcove_add "$current" < <(printf '%s\n' zlib zstd); return ;;
    --backing-file) _alcove_files -f -- "$current"; return ;;
    --keyboard) _alcove_add "$current" < <(printf '%s\n' usb virtio none); return ;;
    --pointer) _alcove_add "$current" < <(printf '%s\n' usb virtio trackpad none); return ;;
    --view) _alcove_list "$current" port= display= system-keys || _alcove_add "$current" < <(printf '%s\n' window web vnc none); return ;;
    --clipboard) _alcove_add "$current" < <(printf '%s\n' both to-guest from-guest off); return ;;
    --hypervisor) _alcove_add "$current" < <(printf '%s\n' auto kvm soft); return ;;
    --cpu) _alcove_add "$current" < <(printf '%s\n' host x86-64-v1 x86-64-v2 x86-64-v3); return ;;
    --cpus|--memory|--cmdline|--label|--size|--display|--new-disk|--cluster-size|--bytes-per-second|--operations-per-second|--timeout|--key|--delay|--user|--port|--option) return ;;
  esac
  local machine="--cpus --cpu --memory --kernel --initrd --cmdline --efi --iso --disk --nvme --usb-disk --net --share --vsock --size --clipboard --port --sound --keyboard --pointer --hypervisor --label"
  local options="--help"
  case $command in
    run) options+=" --print --view $machine" ;;
    create) options+=" --new-disk $machine" ;;
    stop) options+=" --force --timeout" ;;
    delete) options+=" --yes" ;;
    efi) [ "$COMP_CWORD" -gt 2 ] && case ${COMP_WORDS[2]} in
        variables) options+=" --json" ;;
        create) options+=" --overwrite --secure-boot" ;;
      esac ;;
    disk) [ "$COMP_CWORD" -gt 2 ] && case ${COMP_WORDS[2]} in
        create) options+=" --format --backing-file --backing-format --cluster-size --force" ;;
        info) options+=" --format --json" ;;
        check) options+=" --repair --json --quiet" ;;
        convert) options+=" --format --to --compress --backing --cluster-size --force --quiet" ;;
        resize) options+=" --format --backing --shrink" ;;
      esac ;;
    screenshot) options+=" --display" ;;
    type) options+=" --key --delay" ;;
    connect) options+=" --pass-descriptor" ;;
    ssh) options+=" --user --port --identity --option" ;;
    storage) [ "$COMP_CWORD" -gt 2 ] && case ${COMP_WORDS[2]} in
        list) options+=" --json" ;;
        attach) options+=" --nvme" ;;
        detach) options+=" --force --timeout" ;;
        limit) options+=" --bytes-per-second --operations-per-second" ;;
      esac ;;
    info|list|doctor|usb|stats|events) options+=" --json" ;;
    network) [ "$COMP_CWORD" -gt 2 ] && case ${COMP_WORDS[2]} in
        attach|detach) options+=" --device" ;;
        list|interfaces) options+=" --json" ;;
      esac ;;
  esac
  case $current in
    -*) _alcove_add "$current" < <(printf '%s\n' $options); return ;;
  esac
  case $command in
    create|list|doctor) return ;;
    efi)
      if [ "$COMP_CWORD" -eq 2 ]; then _alcove_add "$current" < <(printf '%s\n' variables create); return; fi
      _alcove_files -f -- "$current"
      [ "${COMP_WORDS[2]}" = variables ] || return ;;
    disk)
      if [ "$COMP_CWORD" -eq 2 ]; then _alcove_add "$current" < <(printf '%s\n' create info check convert resize); return; fi
      _alcove_files -f -- "$current"
      return ;;
    run) _alcove_files -f -X '!*.toml' -- "$current"; _alcove_files -d -- "$current" ;;
  esac
  if [ "$command" = view ] && [ "$COMP_CWORD" -gt 2 ]; then
    _alcove_list "$current" port= display= || _alcove_add "$current" < <(printf '%s\n' window web vnc)
    return
  fi
  if [ "$command" = storage ] && [ "$COMP_CWORD" -eq 2 ]; then
    _alcove_add "$current" < <(printf '%s\n' list attach detach resize limit)
    return
  fi
  if [ "$command" = storage ] && [ "$COMP_CWORD" -gt 3 ] && [[ $previous != -* ]]; then
    [ "${COMP_WORDS[2]}" != attach ] ||
      _alcove_list "$current" readonly format= backing base= cache-file= caching= sync= bytes-per-second= operations-per-second= || _alcove_files -f -- "$current"
    return
  fi
  if [ "$command" = network ] && [ "$COMP_CWORD" -eq 2 ]; then
    _alcove_add "$current" < <(printf '%s\n' attach detach list interfaces)
    return
  fi
  if [ "$command" = network ] && [ "$COMP_CWORD" -gt 3 ]; then
    [ "${COMP_WORDS[2]}" != attach ] || _alcove_add "$current" < <(printf '%s\n' nat network= tap= passt none)
    return
  fi
  if [ "$command" = network ] && [[ ${COMP_WORDS[2]} = list || ${COMP_WORDS[2]} = interfaces ]]; then return; fi
  if [ "$command" = usb ] && [ "$COMP_CWORD" -eq 2 ]; then
    _alcove_add "$current" < <(printf '%s\n' attach detach change eject list)
    return
  fi
  if [ "$command" = usb ] && [ "$COMP_CWORD" -gt 3 ]; then
    _alcove_list "$current" readonly cdrom uas= format= backing base= cache-file= caching= sync= bytes-per-second= operations-per-second= || _alcove_files -f -- "$current"
    return
  fi
  if [ "$command" = connect ] && [ "$COMP_CWORD" -gt 2 ]; then return; fi
  if [ "$command" = screenshot ] && [ "$COMP_CWORD" -gt 2 ]; then
    _alcove_files -f -X '!*.png' -- "$current"
    return
  fi
  _alcove_add "$current" < <(_alcove_machines)
}
complete -F _alcove alcove
