# shellcheck shell=bash
# $0: the script, or a folder of scripts. $1: start, stop or status. $2: the service's number. $3: the function, if the
# configuration names one.
failover_action=$1 failover_id=$2 failover_function=$3

# Reads one script and calls the function of its application, in a shell of its own: two scripts may use the same names.
failover_call()
(
    if ! [[ -r $1 && -f $1 ]]; then
        echo "$1 is not there or cannot be read" >&2
        exit 120
    fi
    failover_script=$1
    failover_file=${1##*/}
    failover_file=${failover_file%.sh}
    set --
    # shellcheck source=/dev/null
    source "$failover_script"
    # apache_webserver holds apache, service_test holds test.
    if [[ -n $failover_function ]]; then
        failover_names=("$failover_function")
    else
        read -ra failover_names <<<"$failover_file ${failover_file//[_.-]/ }"
    fi
    for failover_name in "${failover_names[@]}"; do
        if declare -F -- "$failover_name" >/dev/null; then
            "$failover_name" "$failover_action" "$failover_id"
            exit $?
        fi
    done
    echo "$failover_script holds no function named ${failover_names[*]}: name it in failover.ron, function: \"...\"" >&2
    exit 120
)

failover_scripts=("$0")
if [[ -d $0 ]]; then
    LC_ALL=C
    shopt -s nullglob
    failover_scripts=("$0"/*)
    if [[ ${#failover_scripts[@]} -eq 0 ]]; then
        echo "the folder $0 holds no script" >&2
        exit 120
    fi
fi

failover_code=0
if [[ $failover_action == stop ]]; then
    # All of them, in reverse: what one leaves running does not excuse the others.
    for ((failover_index = ${#failover_scripts[@]} - 1; failover_index >= 0; failover_index--)); do
        failover_call "${failover_scripts[failover_index]}" || failover_code=$?
    done
else
    # A start that failed starts nothing on top of it; a status that failed says enough.
    for failover_script in "${failover_scripts[@]}"; do
        failover_call "$failover_script" || exit $?
    done
fi
exit $failover_code
