#!/usr/bin/env bash
# Usage: Scripts/engines/spark.sh
#
# Trains on a Spark cluster of two executors on this machine (local-cluster): Fashion-MNIST from
# Parquet is written as a partitioned directory by the executors, trained on in a barrier stage
# while an executor and then a worker are killed, and predicted. Compares with convoy train on that
# directory. Installs PySpark from PyPI in a virtual environment, and Java if it is missing.
#
# Prints a line that begins with `ok:`, or says what failed and ends with 1. CONVOY=PROGRAM checks
# that program; FASHION_MNIST=DIR has the IDX files; PYSPARK=REQUIREMENT chooses PySpark.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" spark

# Enough steps for a fast machine: the last disturbance comes before the end of the run.
steps=6000
fashion_mnist=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}

need_packages dataset-fashion-mnist
command -v java >/dev/null || need_packages default-jre-headless
need_python spark "${PYSPARK:-pyspark==3.5.*}" pandas pyarrow
export PYSPARK_PYTHON=$python PYTHONDONTWRITEBYTECODE=1 SPARK_LOCAL_IP=127.0.0.1
SPARK_HOME=$("$python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME SPARK_LOCAL_DIRS=$directory/local

submission=
stop_engine() {
    [[ -n $submission ]] || return 0
    # The process group of the submission: the driver, its JVM, executors and their processes.
    kill -TERM -- "-$submission" 2>/dev/null || return 0
    for _ in {1..50}; do
        kill -0 -- "-$submission" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$submission" 2>/dev/null
}

"$python" "$engines/spark_check.py" columns || fail "columns of images and labels"
"$python" "$engines/fashion_parquet.py" "$fashion_mnist" "$directory/parquet" ||
    fail "cannot write Parquet files"

run_dir=$directory/run
partitions=$directory/partitions
logs=("$directory/spark.err" "$directory/spark.out")
mkdir "$directory/work"
cd -- "$directory/work"
setsid timeout 580 "$SPARK_HOME/bin/spark-submit" --master 'local-cluster[2,1,1024]' \
    --conf spark.ui.enabled=false --driver-memory 1g \
    "$root/Scripts/spark/convoy_on_spark.py" --convoy "$convoy" \
    --train "$directory/parquet/train.parquet" --test "$directory/parquet/test.parquet" \
    --shape 1,28,28 --order-by record --partition-count 8 --partitions "$partitions" \
    --run-dir "$run_dir" --predictions "$directory/predictions" -- \
    --steps "$steps" --checkpoint-every 100 --heartbeat-interval-ms 250 \
    </dev/null >"$directory/spark.out" 2>"$directory/spark.err" &
submission=$!

# Prints the executor's JVM that process $1 descends from.
executor_of() {
    local process=$1
    while ((process > 1)); do
        if { tr '\0' ' ' <"/proc/$process/cmdline"; } | grep -q CoarseGrainedExecutorBackend; then
            echo "$process"
            return
        fi
        process=$(awk '$1 == "PPid:" { print $2 }' "/proc/$process/status")
    done
    return 1
}

# Puts both workers of the stage into `workers`; fails while one of them is in `former`.
former=
have_workers() {
    mapfile -t workers < <(processes_of worker "$run_dir")
    ((${#workers[@]} == 2)) && ! grep -qwE "${workers[0]}|${workers[1]}" <<<"$former"
}

wait_for 120 "step 100 on Spark" reached "$run_dir" 100
wait_for 10 "the start of two workers" have_workers
kill -KILL "$(executor_of "${workers[0]}")"
former=${workers[*]}
wait_for 60 "another try of the stage" have_workers
kill -KILL "${workers[1]}"
wait "$submission" || fail "spark-submit ended with exit code $?" "${logs[@]}"

grep -q '^restarts 1$' "$directory/spark.out" ||
    fail "expected the worker to be started again once" "${logs[@]}"
"$convoy" verify "$partitions" >/dev/null || fail "the partitioned directory does not verify"
"$convoy" verify "$run_dir" >/dev/null || fail "the run does not verify"
"$python" "$engines/spark_check.py" directory "$fashion_mnist" "$partitions" ||
    fail "the partitions hold other records than the IDX files"

undisturbed "$directory/undisturbed" --data "partitions:$partitions" --steps "$steps" --workers 1
require_hash "$run_dir"
right=$("$convoy" evaluate --checkpoint "$run_dir" --data "partitions:$partitions" |
    sed -n 's/.*"test_accuracy":\([0-9.]*\).*/\1/p' | awk '{ printf "%.0f", $1 * 10000 }')
grep -q "^predictions 10000, right $right\$" "$directory/spark.out" ||
    fail "expected $right right predictions" "$directory/spark.out"
succeed "an executor and a worker killed, $steps steps, weights_sha256 ${expected:0:16}, as \
convoy train"
