import ClusterRuntime
import NeuralNetwork
import RunFiles

extension BadInput {
    static let flags: [BadInput] = [
        BadInput(name: "unknown flag", exitCode: 64, mentions: ["--wrokers"], isOneLine: false) {
            $0.train + ["--wrokers", "2"]
        },
        BadInput(name: "no number", exitCode: 64, mentions: ["--workers"], isOneLine: false) {
            $0.train + ["--workers", "two"]
        },
        BadInput(
            name: "no coordinator", exitCode: 64, mentions: ["--coordinator"], isOneLine: false
        ) { _ in ["worker"] },
        .train("no virtual workers", 64, ["--virtual-workers", "0"], ["--virtual-workers", "0"]),
        .train(
            "batch not divisible", 64, ["35", "6"],
            ["--batch-size", "35", "--virtual-workers", "6"]
        ),
        .train("learning rate nan", 64, ["--learning-rate", "nan"], ["--learning-rate", "nan"]),
        .train("learning rate inf", 64, ["--learning-rate", "inf"], ["--learning-rate", "inf"]),
        .train("learning rate -1", 64, ["--learning-rate", "-1"], ["--learning-rate=-1"]),
        .train("a seed below 0", 64, ["--seed", "-1", "18446744073709551615"], ["--seed", "-1"]),
        .train("a seed that is none", 64, ["--seed", "1.5"], ["--seed", "1.5"]),
        .train("workers below 0", 64, ["--workers", "-1", "4096"], ["--workers", "-1"]),
        .train("rate below 0", 64, ["--learning-rate", "-0.5"], ["--learning-rate", "-0.5"]),
        .train(
            "change of what is not there", 64, ["--change-settings", "--resume"],
            ["--change-settings"]),
        BadInput(name: "two beginnings", exitCode: 64, mentions: ["--init", "--resume"]) {
            ["train", "--resume", $0.finishedRun, "--init", "\($0.checkpoint)/model.safetensors"]
        },
        .train(
            "data of here and not of here", 64, ["--stream-data", "--data-root"],
            ["--stream-data", "--data-root", "/"]),
        BadInput(name: "keys and none", exitCode: 64, mentions: ["--keys", "--insecure"]) { _ in
            [
                "worker", "--coordinator", "tcp://127.0.0.1:1", "--keys", "/nowhere",
                "--insecure",
            ]
        },
        BadInput(name: "a long socket", exitCode: 64, mentions: ["--listen", "107", "bytes"]) {
            [
                "coordinator", "--config", try $0.config(), "--run-dir", $0.run, "--listen",
                "ipc:///tmp/" + String(repeating: "x", count: 110),
            ]
        },
        .train("no workers", 64, ["--workers", "0"], ["--workers", "0"]),
        .train("no threads", 64, ["--threads", "0"], ["--threads", "0"]),
        .train("servers below 0", 64, ["--servers", "-1"], ["--servers=-1"]),
        .train("no steps", 64, ["--steps", "0"], ["--steps", "0"]),
        .train("no epochs", 64, ["--epochs", "0"], ["--epochs", "0"]),
        .train("unknown optimizer", 64, ["adam", "sgd", "lion"], ["--optimizer", "lion"]),
        .train("unknown backend", 64, ["reference", "cuda"], ["--backend", "cuda"]),
        .train("unknown precision", 64, ["fp32", "fp8"], ["--precision", "fp8"]),
        .train(
            "unknown wire precision", 64, ["--wire-precision", "fp32", "bf16", "fp16"],
            ["--wire-precision", "fp16"]),
        .train("a gradient of norm 0", 64, ["--clip-norm", "above 0"], ["--clip-norm", "0"]),
        .train("an average that stays", 64, ["--ema", "below 1"], ["--ema", "1"]),
        .train("unknown source", 64, ["cifar10:DIR", "mnist-3d"], ["--data", "mnist-3d"]),
        BadInput(name: "resume elsewhere", exitCode: 64, mentions: ["--resume", "--run-dir"]) {
            $0.train + ["--resume", $0.finishedRun]
        },
        BadInput(name: "record out of range", exitCode: 64, mentions: ["--record", "60", "61"]) {
            ["predict", "--checkpoint", $0.checkpoint, "--data", $0.data, "--record", "61"]
        },
        BadInput(name: "no partitions", exitCode: 64, mentions: ["--partitions", "0"]) {
            ["partition", "--data", $0.data, "--partitions", "0", "--output", "\($0.run)/p"]
        },
        BadInput(name: "evaluate: unknown source", exitCode: 64, mentions: ["idx:DIR", "paper"]) {
            ["evaluate", "--checkpoint", $0.checkpoint, "--data", "paper"]
        },
        BadInput(name: "worker without threads", exitCode: 64, mentions: ["--threads", "0"]) { _ in
            ["worker", "--coordinator", "tcp://127.0.0.1:1", "--threads", "0"]
        },
        BadInput(name: "worker on cores that are none", exitCode: 64, mentions: ["--cores", "0-"]) {
            _ in ["worker", "--coordinator", "tcp://127.0.0.1:1", "--cores", "0-"]
        },
        BadInput(
            name: "worker on cores that are not there", exitCode: 64, mentions: ["--cores", "8191"]
        ) { _ in
            ["worker", "--coordinator", "tcp://127.0.0.1:1", "--cores", "8191"]
        },
        BadInput(name: "connect timeout", exitCode: 64, mentions: ["--connect-timeout"]) { _ in
            ["worker", "--coordinator", "tcp://127.0.0.1:1", "--connect-timeout", "nan"]
        },
        BadInput(name: "no endpoint", exitCode: 64, mentions: ["--coordinator", "over there"]) {
            _ in ["worker", "--coordinator", "over there"]
        },
        BadInput(name: "every address", exitCode: 64, mentions: ["--coordinator", "0.0.0.0"]) {
            _ in ["worker", "--coordinator", "tcp://0.0.0.0:5555"]
        },
        BadInput(name: "bind to what", exitCode: 64, mentions: ["--bind", "10.1.2.3/33"]) {
            _ in ["worker", "--coordinator", "tcp://127.0.0.1:1", "--bind", "10.1.2.3/33"]
        },
        BadInput(name: "no such interface", exitCode: 64, mentions: ["--bind", "eth77"]) {
            _ in ["worker", "--coordinator", "tcp://127.0.0.1:1", "--bind", "eth77"]
        },
        BadInput(name: "loopback elsewhere", exitCode: 64, mentions: ["--bind", "127.0.0.1"]) {
            _ in
            [
                "server", "--coordinator", "tcp://192.0.2.1:5555", "--bind", "127.0.0.1",
                "--insecure",
            ]
        },
        BadInput(name: "announces loopback", exitCode: 64, mentions: ["--announce", "localhost"]) {
            _ in
            [
                "server", "--coordinator", "tcp://192.0.2.1:5555", "--bind", "0.0.0.0",
                "--announce", "localhost", "--insecure",
            ]
        },
        BadInput(name: "open without keys", exitCode: 64, mentions: ["--listen", "--keys"]) {
            [
                "coordinator", "--config", try $0.config(), "--run-dir", $0.run, "--listen",
                "tcp://0.0.0.0:*",
            ]
        },
        BadInput(name: "open member", exitCode: 64, mentions: ["--bind", "--keys"]) {
            _ in ["worker", "--coordinator", "tcp://127.0.0.1:1", "--bind", "0.0.0.0"]
        },
        BadInput(name: "no keys there", exitCode: 65, mentions: ["/nowhere", "keygen"]) {
            _ in ["worker", "--coordinator", "tcp://127.0.0.1:1", "--keys", "/nowhere"]
        },
        BadInput(name: "nothing to listen at", exitCode: 64, mentions: ["--listen", "nowhere"]) {
            [
                "coordinator", "--config", try $0.config(), "--run-dir", $0.run, "--listen",
                "nowhere",
            ]
        },
    ]

    static let runFiles: [BadInput] = [
        .file(
            "unknown key", ["training.batchsize", "batch-size"], "training: {batchsize: 64}\n"),
        .file("steers the terminal", ["unknown key \"?[2J?\""], "\"\\e[2J\\n\": 1\n"),
        .file("expands as a key", ["a0", "anchors"], "a0: &a [x, x]\n? [*a, *a]\n: 1\n"),
        .file("unknown section", ["trainning", "training"], "trainning: {seed: 1}\n"),
        .file("wrong type", ["training.epochs", "many"], "training: {epochs: many}\n"),
        .file("a list for a section", ["training"], "training: [1, 2]\n"),
        .file("no YAML", ["bad.yaml"], "training: {epochs: 1\n"),
        .file("virtual workers", ["virtual-workers", "0"], "training: {virtual-workers: 0}\n"),
        .file(
            "batch", ["batch-size", "35", "6"], "training: {batch-size: 35, virtual-workers: 6}\n"),
        .file("learning rate", ["learning-rate"], "optimizer: {learning-rate: .nan}\n"),
        .file("optimizer", ["optimizer.name", "lion", "adam"], "optimizer: {name: lion}\n"),
        .file("source", ["cifar10:DIR", "mnist-3d"], "data: {source: mnist-3d}\n"),
        .file(
            "key of another optimizer", ["momentum"], "optimizer: {name: adam, momentum: 0.9}\n"),
        BadInput(name: "no run file", exitCode: 65, mentions: ["none.yaml"]) {
            $0.train + ["--config", "\($0.directory.path)/none.yaml"]
        },
    ]

    static let models: [BadInput] =
        graphs + [
            .model(
                "kernel too large", ["conv2", "[5, 10, 10]", "11"],
                """
                input: [1, 12, 12]
                layers:
                  - conv2d: {filters: 5, kernel: 3}
                  - conv2d: {filters: 5, kernel: 11}
                  - flatten: {}
                  - dense: {units: 4}

                """),
            .model(
                "dense before flatten", ["dense1", "[5, 10, 10]"],
                """
                input: [1, 12, 12]
                layers:
                  - conv2d: {filters: 5, kernel: 3}
                  - dense: {units: 4}

                """),
            .model(
                "another input", ["[3, 32, 32]", "[1, 12, 12]"],
                "input: [3, 32, 32]\nlayers: [flatten: {}, dense: {units: 4}]\n"),
            .model(
                "too few outputs", ["3", "4"],
                "input: [1, 12, 12]\nlayers: [flatten: {}, dense: {units: 3}]\n"),
            .model(
                "a billion units", ["units", "1000000000", "1048576"],
                "input: [1, 12, 12]\nlayers: [flatten: {}, dense: {units: 1000000000}]\n"),
            .model(
                "unknown layer", ["conv3d", "conv2d"],
                "input: [1, 12, 12]\nlayers: [conv3d: {filters: 1}]\n"),
            .model(
                "unknown key of a layer", ["layers[0].conv2d.kernle", "did you mean \"kernel\""],
                "input: [1, 12, 12]\nlayers: [conv2d: {filters: 1, kernel: 3, kernle: 3}]\n"),
            BadInput(name: "no model file", exitCode: 65, mentions: ["none.yaml"]) {
                $0.train + ["--config", try $0.config(), "--model", "\($0.directory.path)/none.yaml"]
            },
            .train(
                "bf16 on the reference backend", 65, ["precision", "reference", "bf16"],
                ["--backend", "reference", "--precision", "bf16"]),
        ]

    static let data: [BadInput] = [
        BadInput(name: "a home", exitCode: 65, mentions: ["~/data", "$HOME"]) {
            $0.train + ["--config", try $0.config(), "--data", "idx:~/data"]
        },
        BadInput(
            name: "no directory of CIFAR", exitCode: 65, mentions: ["nothing", "No such file"]
        ) {
            $0.train + ["--data", "cifar10:\($0.directory.path)/nothing"]
        },
        BadInput(
            name: "no directory of partitions", exitCode: 65, mentions: ["nothing", "No such file"]
        ) {
            $0.train + ["--data", "partitions:\($0.directory.path)/nothing"]
        },
        BadInput(
            name: "no directory", exitCode: 65, mentions: ["nothing-here", "No such file"]
        ) {
            $0.train + [
                "--config", try $0.config(), "--data", "idx:\($0.directory.path)/nothing-here",
            ]
        },
        .data("truncated images", ["train-images"], 0) { Array($0.dropLast(100)) },
        .data("truncated header", ["train-images"], 0) { Array($0.prefix(7)) },
        .data("empty file", ["t10k-labels"], 3) { _ in [] },
        .data("too long", ["t10k-images"], 2) { $0 + [1] },
        .data("wrong magic", ["train-images", "magic"], 0) { [9] + $0.dropFirst() },
        .data("labels for images", ["train-images"], 0) { _ in SampleData().labels(203) },
        .data("fewer labels", ["202", "203"], 1) { _ in SampleData().labels(202) },
        .data("no gzip", ["train-labels"], 1) { _ in
            [0x1F, 0x8B, 8, 0] + [UInt8](repeating: 7, count: 60)
        },
        .data("label beyond the model", ["9", "4"], 1) { Array($0.dropLast()) + [8] },
        .cifar("wrong size", ["data_batch_3.bin", "3073"]) { Array($0.dropLast()) },
        .cifar("empty batch", ["data_batch_3.bin"]) { _ in [] },
        .cifar("label out of range", ["data_batch_3.bin", "label"]) { bytes in
            var bytes = bytes
            bytes[3073 * 4] = 10
            return bytes
        },
        BadInput(name: "partitions: no manifest", exitCode: 65, mentions: ["manifest.json"]) {
            $0.train + ["--config", try $0.config(), "--data", "partitions:\($0.finishedRun)"]
        },
        BadInput(name: "more partitions than records", exitCode: 65, mentions: ["203", "204"]) {
            $0.train + ["--config", try $0.config(), "--partitions", "204"]
        },
    ]

    static let state: [BadInput] = [
        BadInput(name: "run directory exists", exitCode: 65, mentions: ["--resume"]) {
            ["train", "--config", try $0.config(), "--run-dir", $0.finishedRun]
        },
        BadInput(name: "run directory is a file", exitCode: 65, mentions: ["config.yaml"]) {
            ["train", "--config", try $0.config(), "--run-dir", "\($0.finishedRun)/config.yaml"]
        },
        BadInput(name: "resume of nothing", exitCode: 65, mentions: ["config.yaml"]) {
            ["train", "--resume", $0.data]
        },
        BadInput(
            name: "resume of a run directory of a newer format", exitCode: 65,
            mentions: ["format.json", "format 2", "build abc"]
        ) {
            let run = try $0.damagedRun("newer", "format.json") { _ in
                Array("{\"format\": 2, \"build\": \"abc\"}".utf8)
            }
            return ["train", "--resume", run]
        },
        BadInput(
            name: "verify of a malformed format", exitCode: 65, mentions: ["format.json", "NUMBER"]
        ) {
            ["verify", try $0.damagedRun("malformed", "format.json") { _ in Array("{}".utf8) }]
        },
        BadInput(name: "resume with a changed model", exitCode: 65, mentions: ["holds model"]) {
            files in
            let run = try files.damagedRun("other", "config.yaml") { _ in
                let model = SampleData.model.replacing("filters: 5", with: "filters: 6")
                let configuration = try? RunConfiguration.sample(files.data, model: model, steps: 9)
                return Array((configuration?.yaml ?? "").utf8)
            }
            return ["train", "--resume", run]
        },
        BadInput(
            name: "resume without a whole checkpoint", exitCode: 65,
            mentions: ["expected", "bytes"]
        ) {
            let file = "checkpoints/step-00000003/model.safetensors"
            return [
                "train", "--resume", try $0.damagedRun("short", file) { Array($0.dropLast(9)) },
            ]
        },
        BadInput(name: "init: no file", exitCode: 65, mentions: ["none.safetensors"]) {
            $0.train + [
                "--config", try $0.config(), "--init", "\($0.directory.path)/none.safetensors",
            ]
        },
        BadInput(
            name: "init: another model", exitCode: 65, mentions: ["conv1.weight", "model"]
        ) {
            $0.train + ["--config", try $0.config(model: SampleData.tinyModel)]
                + ["--init", "\($0.checkpoint)/model.safetensors"]
        },
        BadInput(name: "init: no safetensors", exitCode: 65, mentions: ["config.yaml"]) {
            $0.train + ["--config", try $0.config(), "--init", "\($0.finishedRun)/config.yaml"]
        },
        BadInput(name: "evaluate: no average", exitCode: 65, mentions: ["ema.safetensors"]) {
            ["evaluate", "--checkpoint", $0.checkpoint, "--ema", "--data", $0.data]
        },
        BadInput(name: "evaluate: nothing there", exitCode: 65, mentions: ["nothing"]) {
            ["evaluate", "--checkpoint", "\($0.directory.path)/nothing", "--data", $0.data]
        },
        BadInput(
            name: "evaluate: corrupt", exitCode: 65, mentions: ["corrupt", "model.safetensors"]
        ) {
            let file = "checkpoints/step-00000003/model.safetensors"
            let run = try $0.damagedRun("changed", file) { $0.dropLast() + [0x55] }
            return ["evaluate", "--checkpoint", run, "--data", $0.data]
        },
        BadInput(name: "verify: corrupt", exitCode: 65, mentions: ["optimizer.safetensors"]) {
            let file = "checkpoints/step-00000003/optimizer.safetensors"
            return ["verify", try $0.damagedRun("verify", file) { $0.dropLast() + [0x55] }]
        },
        BadInput(name: "verify: no state", exitCode: 65, mentions: ["state.json"]) {
            let file = "checkpoints/step-00000003/state.json"
            return ["verify", try $0.damagedRun("state", file) { _ in Array("{}".utf8) }]
        },
        BadInput(name: "verify: ledger", exitCode: 65, mentions: ["ledger.jsonl", "step 1"]) {
            let run = try $0.damagedRun("ledger", "ledger.jsonl") { bytes in
                let lines = bytes.split(separator: UInt8(ascii: "\n"))
                return Array((lines[..<1] + lines[2...]).joined(separator: [UInt8(ascii: "\n")]))
                    + [UInt8(ascii: "\n")]
            }
            return ["verify", run]
        },
        BadInput(name: "verify: nothing", exitCode: 65, mentions: ["manifest.json"]) {
            ["verify", "\($0.directory.path)/data"]
        },
        BadInput(name: "evaluate: other images", exitCode: 65, mentions: ["[3, 32, 32]"]) {
            let data = try SampleData.writeCIFAR(to: $0.directory, recordCount: 2)
            return ["evaluate", "--checkpoint", $0.checkpoint, "--data", data]
        },
        BadInput(name: "partition: output exists", exitCode: 65, mentions: ["empty"]) {
            ["partition", "--data", $0.data, "--partitions", "2", "--output", $0.finishedRun]
        },
    ]
}
