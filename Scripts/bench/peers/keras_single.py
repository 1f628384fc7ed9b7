"""Keras on TensorFlow, one process with as many threads as the others have processes."""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy
import tensorflow
import timing
from tensorflow.keras import Input, Sequential, layers

THREAD_COUNT = 2


def make_network():
    """The built-in model `cnn` on 32 x 32 x 3, as Keras lays images out."""
    return Sequential([
        Input((32, 32, 3)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dropout(0.5),
        layers.Dense(timing.CLASS_COUNT, activation="softmax"),
    ])  # fmt: skip


def main():
    """Trains with `fit` on random images that stay in memory, and reports."""
    arguments, _ = timing.parse_arguments(__doc__)
    tensorflow.config.threading.set_intra_op_parallelism_threads(THREAD_COUNT)
    tensorflow.config.threading.set_inter_op_parallelism_threads(THREAD_COUNT)
    network = make_network()
    network.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    # An epoch is a loop, with as many images as two processes of the other peers use.
    count = max(20 * arguments.batch, THREAD_COUNT * arguments.images)
    count -= count % arguments.batch
    generator = numpy.random.default_rng(0)
    images = generator.random((count, 32, 32, 3), dtype=numpy.float32)
    labels = generator.integers(0, timing.CLASS_COUNT, (count, 1))

    rates = []
    for _ in range(1 + timing.LOOP_COUNT):
        begin = time.perf_counter()
        network.fit(images, labels, batch_size=arguments.batch, epochs=1, verbose=0)
        rates.append(count / (time.perf_counter() - begin))
    version = f"Keras {tensorflow.keras.__version__} on TensorFlow {tensorflow.__version__}"
    timing.report("keras", version, rates[1:])


main()
