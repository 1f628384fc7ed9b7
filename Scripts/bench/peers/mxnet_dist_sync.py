"""MXNet with its parameter server over ZeroMQ (dist_sync), one process of one thread.

DMLC_ROLE and its kin say which process this is. Scheduler and server do their work while the module
is imported, and end there. Worker 0 reports the sum over all workers.
"""

import sys

import mxnet
import timing
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn


def make_network():
    """The built-in model `cnn` on 3 x 32 x 32."""
    network = nn.HybridSequential()
    network.add(
        nn.Conv2D(32, 3, activation="relu", in_channels=3), nn.MaxPool2D(2),
        nn.Conv2D(64, 3, activation="relu", in_channels=32), nn.MaxPool2D(2),
        nn.Conv2D(64, 3, activation="relu", in_channels=64), nn.Flatten(),
        nn.Dense(64, activation="relu", in_units=1024), nn.Dropout(0.5),
        nn.Dense(timing.CLASS_COUNT, in_units=64),
    )  # fmt: skip
    network.initialize(mxnet.init.Xavier())
    network.hybridize(static_alloc=True, static_shape=True)
    return network


def main():
    """Trains on random images that stay in memory, and reports."""
    arguments, _ = timing.parse_arguments(__doc__)
    store = mxnet.kv.create("dist_sync")
    network = make_network()
    trainer = gluon.Trainer(
        network.collect_params(), "adam", {"learning_rate": 1e-3, "epsilon": 1e-7},
        kvstore=store, update_on_kvstore=True,
    )  # fmt: skip
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    images = nd.random.uniform(shape=(timing.RECORD_COUNT, 3, 32, 32))
    labels = nd.random.randint(0, timing.CLASS_COUNT, shape=(timing.RECORD_COUNT,))
    labels = labels.astype("float32")
    batch_count = timing.RECORD_COUNT // arguments.batch

    def step(index):
        begin = index % batch_count * arguments.batch
        end = begin + arguments.batch
        with autograd.record():
            loss = loss_of(network(images[begin:end]), labels[begin:end])
        loss.backward()
        trainer.step(arguments.batch * store.num_workers)

    rates = timing.measure(step, nd.waitall, arguments.batch, arguments.images)
    if store.rank == 0:
        version = f"MXNet {mxnet.__version__}"
        timing.report("mxnet", version, [rate * store.num_workers for rate in rates])
    sys.stdout.flush()


main()
