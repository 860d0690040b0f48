# Ends everything that one command started. POSIX sh; needs kill and sleep.
#
# $1 mark      value of HARNESS_COMMAND in the environment of whatever the command started
# $2 worker    pid of the session's shell, 0 for a one-shot command
# $3 begun     when the command was begun, in hundredths of a second of the machine's uptime
# $4 …         further pids to end (from a run as another user)
#
# What counts: processes that carry the mark; children of the worker that carry none and are younger than the
# command (their environment was cleared); and all descendants of these. They are interrupted, given a second,
# then stopped and killed until none is left. Printed: the pids that could not be ended.
unset HARNESS_KILL
mark=$1 worker=$2 begun=$3
shift 3
further=" $* "
exec 2>/dev/null

scan() {
    found=' ' parents=
    for folder in /proc/[0-9]*; do
        pid=${folder#/proc/}
        [ "$pid" != 1 ] || continue
        IFS= read -r line <"$folder/stat" || continue
        set -- ${line##*) }
        [ "$1" != Z ] || continue
        parent=$2 started=${20}
        environment=
        while IFS= read -r line || [ "$line" ]; do environment=$environment$line; done <"$folder/environ"
        case $environment in
        *"HARNESS_COMMAND=$mark"*) found="$found$pid " ;;
        *HARNESS_COMMAND=*) ;;
        *) [ "$worker" = 0 ] || [ "$parent" != "$worker" ] || [ "$started" -lt "$begun" ] || found="$found$pid " ;;
        esac
        case $further in *" $pid "*) found="$found$pid " ;; esac
        parents="$parents $pid:$parent"
    done
    grown=
    while [ "$grown" != "$found" ]; do
        grown=$found
        for pair in $parents; do
            case $found in
            *" ${pair%:*} "*) ;;
            *" ${pair#*:} "*) found="$found${pair%:*} " ;;
            esac
        done
    done
    printf '%s' "${found# }"
}

pause() { sleep 0.1 || sleep 1; }

targets=$(scan)
further="$further$targets " # what was found once stays found, also when its parent is gone
[ "$worker" = 0 ] || kill -INT "$worker"
[ ! "$targets" ] || kill -INT $targets
tries=0
while [ $tries -lt 10 ]; do
    targets=$(scan)
    [ "$targets" ] || exit 0
    pause
    tries=$((tries + 1))
done
tries=0
while [ $tries -lt 20 ]; do
    targets=$(scan)
    [ "$targets" ] || exit 0
    kill -STOP $targets # so that nothing forks away between looking and killing
    targets=$(scan)
    kill -KILL $targets
    tries=$((tries + 1))
done
printf '%s\n' "$targets"
