#!/usr/bin/env bash
# Usage: Scripts/bench/fuzz.sh [flags] [READER...]
#
# Gives every reader of bytes from outside (or the named ones) inputs that libFuzzer derives from
# the coverage of earlier ones, and prints a Markdown table. Ends with 1 when a reader trapped, read
# memory that is not its own, took too long or too much memory, or broke a property; the line below
# the table says how to repeat it.
#
#   --seconds N    for all readers together, shared evenly (600)
#   --quick        30 seconds, from a fixed seed, so that results do not vary from day to day
#   --jobs N       readers at a time (2)
#   --found DIR    the directory for inputs that found something (.build/fuzz-found)
#   --corpus DIR   keeps the corpus there, a directory a reader; without this flag it is discarded
#   --distill      with --corpus: adds its smallest inputs that cover something new to
#                  Tests/Fuzzing/Corpus, and does not fuzz
#   --output FILE  also writes the table to FILE
#
#   executions   inputs tried, with those of Tests/Fuzzing/Corpus and the reader's seeds
#   edges        edges of the control flow graph, in all instrumented code: the package and its Swift
#                and C dependencies, but neither Foundation nor the system's zlib
#   corpus       inputs kept because each covers something that the others do not
#   memory       the most resident memory, AddressSanitizer's shadow included
#
# The readers are those of Tests/ReaderHarness. The build is instrumented for coverage and
# AddressSanitizer, and stays in .build/fuzz; FUZZ=PROGRAM runs that program and builds nothing.
# Needs clang's libFuzzer and lld, which come with Swift's toolchain.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cd -- "$root"

usage_error() {
    echo "fuzz: error: $1" >&2
    exit 64
}

command_line="Scripts/bench/fuzz.sh${*:+ $*}"
seconds=600
seed=()
jobs=2
found=$root/.build/fuzz-found
corpus=
distill=no
output=
wanted=()
while (($# > 0)); do
    case $1 in
    --quick) seconds=30 && seed=(-seed=1) && shift && continue ;;
    --distill) distill=yes && shift && continue ;;
    --*) (($# > 1)) || usage_error "$1: unknown, or its value is missing" ;;
    *) wanted+=("$1") && shift && continue ;;
    esac
    case $1 in
    --seconds | --jobs)
        [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || usage_error "$1: expected a number from 1, found '$2'"
        ;;&
    --seconds) seconds=$2 ;;
    --jobs) jobs=$2 ;;
    --found) found=$2 ;;
    --corpus) corpus=$2 ;;
    --output) output=$2 ;;
    *)
        flags="--seconds, --quick, --jobs, --found, --corpus, --distill or --output"
        usage_error "$1: expected $flags"
        ;;
    esac
    shift 2
done
[[ $distill == no || -n $corpus ]] || usage_error "--distill needs --corpus"

if [[ -n ${FUZZ:-} ]]; then
    program=$(command -v -- "$FUZZ") || usage_error "FUZZ=$FUZZ is no program"
else
    # One sanitizer serves Swift, C and C++. gold cannot link what AddressSanitizer adds.
    CONVOY_FUZZ=on CONVOY_ONEDNN=off swift build -c release --product fuzz \
        --scratch-path .build/fuzz -Xswiftc -sanitize=fuzzer,address -Xswiftc -use-ld=lld \
        -Xcc -fsanitize=fuzzer-no-link,address -Xcxx -fsanitize=fuzzer-no-link,address >&2
    program=$root/.build/fuzz/release/fuzz
fi

# libFuzzer reports traps itself; Swift's own report would prevent that.
export SWIFT_BACKTRACE=enable=no
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16

declare -A longest
readers=()
while read -r name byte_count; do
    longest[$name]=$byte_count
    readers+=("$name")
done < <("$program" list)
for name in "${wanted[@]}"; do
    [[ -n ${longest[$name]:-} ]] || usage_error "no reader $name; there are ${readers[*]}"
done
((${#wanted[@]} == 0)) || readers=("${wanted[@]}")

directory=$(mktemp -d)
clean_up() {
    local running
    mapfile -t running < <(jobs -rp)
    ((${#running[@]} == 0)) || kill -TERM "${running[@]}" 2>/dev/null || true
    wait || true
    rm -rf -- "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

kept=${corpus:-$directory/corpus}
mkdir -p -- "$found" "$kept"
share=$((seconds * jobs / ${#readers[@]}))
((share <= seconds)) || share=$seconds
((share > 0)) || share=1

# Prints the directories with known inputs of reader $1, and writes its seeds into the first.
known_of() {
    "$program" seeds "$1" "$directory/seeds/$1" >&2
    printf '%s\n' "$directory/seeds/$1"
    local known
    for known in Tests/Fuzzing/Corpus/$1 Tests/Fuzzing/Found/$1; do
        [[ ! -d $known ]] || printf '%s\n' "$known"
    done
}

# Fuzzes reader $1; the output goes to its log.
fuzz() {
    local known=()
    mapfile -t known < <(known_of "$1")
    mkdir -p -- "$kept/$1"
    # The deadline is for a process that does not end by itself.
    local code=0
    timeout -k 5 $((share + 60)) "$program" run "$1" "${seed[@]}" -max_total_time="$share" -timeout=5 \
        -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len="${longest[$1]}" \
        -print_final_stats=1 -print_funcs=0 \
        -dict=Tests/Fuzzing/values.dict -artifact_prefix="$found/$1-" \
        "$kept/$1" "${known[@]}" </dev/null >"$directory/$1.log" 2>&1 || code=$?
    echo "$code" >"$directory/$1.code"
}

if [[ $distill == yes ]]; then
    for name in "${readers[@]}"; do
        mkdir -p -- "Tests/Fuzzing/Corpus/$name" "$kept/$name" "$directory/seeds"
        "$program" seeds "$name" "$directory/seeds/$name"
        # Seeds come first, so that the inputs they cover are not kept twice.
        mkdir -p -- "$directory/merged/$name"
        cp -- "$directory/seeds/$name"/* "$directory/merged/$name"
        "$program" run "$name" -merge=1 -max_len=2048 "$directory/merged/$name" \
            "Tests/Fuzzing/Corpus/$name" "$kept/$name" </dev/null >"$directory/$name.log" 2>&1 ||
            { tail -n 20 "$directory/$name.log" >&2 && exit 1; }
        rm -f -- "Tests/Fuzzing/Corpus/$name"/* "$directory/merged/$name"/seed-*
        total=0 count=0
        while read -r byte_count file; do
            ((total + byte_count <= 6144 && ++count <= 40)) || break
            total=$((total + byte_count))
            cp -- "$file" "Tests/Fuzzing/Corpus/$name/"
        done < <(find "$directory/merged/$name" -type f -printf '%s %p\n' | sort -n)
    done
    du -sb Tests/Fuzzing/Corpus
    exit
fi

active=0
for name in "${readers[@]}"; do
    if ((active == jobs)); then
        wait -n
        active=$((active - 1))
    fi
    fuzz "$name" &
    active=$((active + 1))
done
wait
codes=()
for name in "${readers[@]}"; do codes+=("$(cat -- "$directory/$name.code")"); done

# Prints the last value of statistic $2 of reader $1.
stat_of() { sed -n "s/^stat::$2: *//p" "$directory/$1.log" | tail -n 1; }
# Prints the last word after $2 in the progress of reader $1.
progress_of() { grep -o " $2: [^ ]*" "$directory/$1.log" | tail -n 1 | cut -d ' ' -f 3; }

table() {
    echo "| reader | executions | a second | edges | corpus | memory | result |"
    echo "|---|---:|---:|---:|---:|---:|---|"
    local index name result rate
    for index in "${!readers[@]}"; do
        name=${readers[index]}
        result=good
        ((codes[index] == 0)) || result=$(result_of "$name" "${codes[index]}")
        rate=$(stat_of "$name" average_exec_per_sec)
        echo "| $name | $(stat_of "$name" number_of_executed_units) | $rate |" \
            "$(progress_of "$name" cov) | $(progress_of "$name" corp | cut -d / -f 1) |" \
            "$(stat_of "$name" peak_rss_mb) MB | $result |"
    done
}

# Prints the result in the log of reader $1, which ended with code $2.
result_of() {
    local line
    line=$(grep -m 1 -E '^(SUMMARY|flaw|.*Fatal error)' "$directory/$1.log" || true)
    echo "${line:-ended with $2}" | tr '|' ' ' | cut -c 1-120
}

processor=$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)
swift=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([^ ]*\).*/\1/p' | head -n 1)
echo "$command_line: $share s a reader, $jobs at a time, $(nproc) cores of $processor, Swift $swift"
echo
table | tee "$directory/table"
[[ -z $output ]] || cp -- "$directory/table" "$output"

status=0
for index in "${!readers[@]}"; do
    ((codes[index] == 0)) && continue
    status=1
    name=${readers[index]}
    input=$(sed -n 's/^.*Test unit written to //p' "$directory/$name.log" | tail -n 1)
    echo
    echo "$name: ${input:-its log follows}"
    [[ -n $input ]] && echo "repeat it with: $program run $name $input"
    grep -v -E '^#[0-9]+[[:space:]]' "$directory/$name.log" | tail -n 25
done
((status == 0))
