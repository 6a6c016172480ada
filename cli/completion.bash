# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for colo(1).  Subcommands and options come from the
# command's own help, so that they are always those that it has.

# Guests that run here, without dom0; needs root, else nothing is offered.
_colo_domains() {
    xl list 2>/dev/null | awk 'NR > 1 && $1 != "Domain-0" { print $1 }'
}

# Guests that have a session here.
_colo_sessions() {
    colo status 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_colo_options() { # subcommand
    colo help "$1" 2>/dev/null | grep -oE '^ +(-[a-z], )?--[a-z-]+' |
        grep -oE -- '--[a-z-]+'
    echo --help
}

_colo_commands() {
    colo help 2>/dev/null | sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p'
    echo help
}

# Operands before the cursor: words after the subcommand that are no options
# nor values of options.
_colo_operands() {
    local i n=0
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --*=*) ;;
            --interval | -i | --transport | --address | --ssh | --remote | \
            --heartbeat | --dead | --hold | --policy | --audit | --live-round | \
            --compress | \
            --disk-memory | --disk-spill | --disk-spill-dir | \
            --mode | --peer | --toolstack | --pages | --name | --bridge | --file | --disk | --timeout | -t | --attach) ((i++)) ;;
            -*) ;;
            *) n=$((n + 1)) ;;
        esac
    done
    echo $n
}

_colo() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev="" cmd=${COMP_WORDS[1]} words=""
    [ "$COMP_CWORD" -eq 0 ] || prev=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$(_colo_commands)
    elif [[ $cur == -* ]]; then
        words=$(_colo_options "$cmd")
    else
        case $prev in
            --transport) words="tls ssh" ;;
            --live-round | --compress) words="auto never always" ;;
            --mode) words="remus colo" ;;
            --peer) words="auto libcolo stock" ;;
            --toolstack) words="auto xl libvirt" ;;
            -i | --interval | --address | --ssh | --remote | --heartbeat | \
            --dead | --hold | --policy | --audit | --pages | --name | --bridge | --disk | -t | --timeout | \
            --disk-memory | --disk-spill | --attach)
                return ;;
            *)
                case $cmd:$(_colo_operands) in
                    protect:0 | check:0) words=$(_colo_domains) ;;
                    protect:1 | check:1)
                        declare -F _known_hosts_real >/dev/null &&
                            _known_hosts_real -- "$cur"
                        return ;;
                    status:0 | events:0 | checkpoint:0 | delay:0 | verify:0 | \
                    failover:0 | stop:0)
                        words=$(_colo_sessions) ;;
                    help:0) words=$(_colo_commands) ;;
                esac ;;
        esac
    fi
    # Not compgen -W, which expands: names of guests may come from another host.
    local word all
    read -r -d '' -a all <<<"$words"
    for word in "${all[@]}"; do
        [[ $word != "$cur"* ]] || COMPREPLY+=("$(printf %q "$word")")
    done
}
complete -F _colo colo
