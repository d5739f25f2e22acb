# bash completion for alcove
_alcove() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
  local machine="--cpus --memory --kernel --initrd --cmdline --disk --net --hypervisor --label"
  _alcove_machines() {
    local folder=${XDG_DATA_HOME:-$HOME/.local/share}/alcove
    [ -d "$folder" ] && find "$folder" -maxdepth 1 -name '*.alcove' -printf '%f\n' 2>/dev/null | sed 's/\.alcove$//'
  }
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "run create start stop pause resume console list info delete doctor --help --version" -- "$current"))
    return
  fi
  case "$previous" in
    --kernel|--initrd|--disk) COMPREPLY=($(compgen -f -- "$current")); return ;;
    --hypervisor) COMPREPLY=($(compgen -W "auto kvm soft" -- "$current")); return ;;
    --net) COMPREPLY=($(compgen -W "nat none" -- "$current")); return ;;
    --cpus|--memory|--cmdline|--label|--new-disk|--timeout) return ;;
  esac
  case "$command" in
    run) COMPREPLY=($(compgen -W "--print $machine --help $(_alcove_machines)" -- "$current") $(compgen -f -X '!*.toml' -- "$current")) ;;
    create) COMPREPLY=($(compgen -W "--new-disk $machine --help" -- "$current")) ;;
    stop) COMPREPLY=($(compgen -W "--force --timeout --help $(_alcove_machines)" -- "$current")) ;;
    delete) COMPREPLY=($(compgen -W "--yes --help $(_alcove_machines)" -- "$current")) ;;
    info) COMPREPLY=($(compgen -W "--json --help $(_alcove_machines)" -- "$current")) ;;
    list|doctor) COMPREPLY=($(compgen -W "--json --help" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "--help $(_alcove_machines)" -- "$current")) ;;
  esac
}
complete -F _alcove alcove
