# The part of a session that lives in the sandbox. POSIX sh; needs mkdir, mkfifo, cat, dd, tail, wc.
#
#   stdin -> pump -> FIFO "in" -> worker shell -> pipe -> reporter -> stdout (output) and stderr (messages)
#
# The worker is an interactive shell without a terminal: it reads command lines from the FIFO and keeps its own
# state. Nothing is started with "&" but the pump, because a background job of sh would hand an ignored SIGINT
# down to every command. The FIFO is held open for reading and writing, so that it never ends.
#
# Messages to the harness (stderr):
#   W <pid>                             the process at the root of the session
#   R <pid> <uptime>                    a worker is ready; the machine's uptime in hundredths of a second
#   D <n> <code> <total> <head> <tail>  command n ended; head and then tail bytes of its output are on stdout;
#                                       total is -1 if its output file is gone
#   X <n> <try>                         command n was not begun at this try: its output file could not be opened;
#                                       try 0: its shell ended before it came to it
#   G <code>                            the worker ended; its keeper waits for "sync"
# Lines to the keeper (through the FIFO, after G): "<key> sync <n>" (n in doubt, 0 for none), "<key> quit".
unset HARNESS_SERVER
dir=$1 key=$2 limit=$3 shell=$4

mkdir -p "$dir" || exit 1
rm -f "$dir/in"
mkfifo -m 600 "$dir/in" || exit 1
exec 3<>"$dir/in"

pump() { # a cat that is killed is started again; at the end of input it is over
    until cat <&7 >&3; do :; done
}

start_worker() {
    case $shell in
    *bash) exec "$shell" --noprofile --norc --noediting -i ;;
    *) exec "$shell" -i "/proc/$$/fd/3" </dev/null ;; # not stdin: BusyBox would share its read-ahead with commands
    esac
}

keep_worker() {
    while :; do
        (start_worker) <&3 3<&- 2>/dev/null
        code=$?
        printf '\n%s gone %s\n' "$key" "$code"
        while :; do # what the old worker left unread is dropped, up to the harness's mark
            IFS= read -r line <&3
            case $line in
            "$key quit") exit 0 ;;
            "$key sync "*) break ;;
            esac
        done
        n=${line##* }
        begun=0
        [ ! -e "$dir/out.$n" ] || begun=$n
        [ "$n" = 0 ] || printf '%s done %s %s %s 0\n' "$key" "$n" "$code" "$begun"
    done
}

report_output() { # $1 command, $2 its exit code
    file=$dir/out.$1 head=0 tail=0 total=0
    if [ ! -e "$file" ]; then
        total=-1
    elif [ -s "$file" ]; then
        if [ "$counts" ]; then # one process for both, so that the count is of what was sent
            said=$(dd if="$file" bs="$((limit + 1))" count=1 2>&1 >&8)
            set -- "$1" "$2" ${said##*out}
            head=$3
        else
            head=$(($(wc -c <"$file")))
            [ "$head" -le "$limit" ] || head=$((limit + 1))
            dd if="$file" bs="$head" count=1 >&8
        fi
        total=$head
        if [ "$head" -gt "$limit" ]; then
            tail=$((limit / 2))
            tail -c "$tail" "$file" >&8
            total=$(($(wc -c <"$file")))
        fi
    fi
    printf 'D %s %s %s %s %s\n' "$1" "$2" "$total" "$head" "$tail" >&9
}

report() {
    trap '' PIPE
    export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    unset LD_PRELOAD
    counts=
    case $(printf x | dd of=/dev/null 2>&1) in *bytes*) counts=1 ;; esac
    last=0
    while IFS= read -r line; do
        case $line in
        "$key done "*)
            set -- $line
            if [ "$3" = "$last" ]; then
                : # a second report of the same command
            elif [ "$3" != "$5" ]; then
                mkdir -p "$dir"
                printf 'X %s %s\n' "$3" "$6" >&9
            else
                last=$3
                report_output "$3" "$4"
            fi
            ;;
        "$key ready "*)
            set -- $line
            printf 'R %s %s%s\n' "$3" "${4%.*}" "${4#*.}" >&9
            ;;
        "$key gone "*) printf 'G %s\n' "${line##* }" >&9 ;;
        esac
    done
}

exec 7<&0 8>&1 9>&2 </dev/null >/dev/null 2>&1
printf 'W %s\n' "$$" >&9
pump 8>&- 9>&- &
exec 7<&-
keep_worker 8>&- 9>&- | report 3<&-
