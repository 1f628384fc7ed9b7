import ClusterProtocol
import NeuralNetwork
import Partitions
import StrictYAML

extension Setting {
    /// Every setting, in the order of the run file. A setting that depends on another one comes
    /// after it.
    public static let all: [Setting] = data + [model] + transfer + training + optimizer + cluster

    private static let data = [
        Setting(
            "data.source", flag: "data", values: DataSpecification.forms,
            decides: .resolved { $1.data.sourceFingerprint ?? $1.data.fingerprint },
            "The data set; what it holds decides the bits, its path does not.",
            text: { .inline(YAMLText.quoted($0.data.source)) },
            read: { value, configuration in
                let text = try value.string()
                do throws(DataError) { _ = try DataSpecification(text) } catch {
                    throw value.error("\(error)")
                }
                configuration.data.source = text
            }),
        whole(
            "data.partitions", \.data.partitions, 1...1_000_000,
            decides: .resolved { "\($1.data.partitionRecordCounts.count)" },
            "Pieces the training records are cut into; they decide the order of the records."),
        Setting(
            "data.image", flag: "image-size", values: "HxW, or a mapping",
            example: "{size: [64, 64], channels: 3, filter: bilinear, fit: crop}",
            """
            What pictures are brought to before they are stored; the flag takes the size alone, such as \
            64x64.
            """,
            text: { $0.data.options.image.yaml.map { .inline($0) } },
            read: { $1.data.options.image = try ImageOptions(reading: $0) }),
        Setting(
            "data.table", values: "mapping", example: "{label: class, separator: \";\"}",
            "The columns of tables: label or targets, columns, shape [C, H, W] and separator.",
            text: { $0.data.options.table.yaml.map { .inline($0) } },
            read: { $1.data.options.table = try TableOptions(reading: $0) }
        ).withoutFlag,
        Setting(
            "data.series", values: "mapping", example: "{length: 128, stride: 64, by: machine}",
            """
            Windows that long series are cut into: length, stride, by (the column that names the \
            series), time, gap and label-at (last, majority).
            """,
            text: { $0.data.options.series.map { .inline($0.yaml) } },
            read: { value, configuration in
                configuration.data.options.series = try SeriesOptions(
                    reading: value, table: &configuration.data.options.table)
            }
        ).withoutFlag,
        Setting(
            "data.labels", values: "mapping", example: "{map: {scratch: defect}, drop: [unknown]}",
            "Classes that get another name, or whose records are left out.",
            text: { $0.data.options.labels.yaml.map { .inline($0) } },
            read: { $1.data.options.labels = try LabelRules(reading: $0) }
        ).withoutFlag,
        Setting(
            "data.filter", values: "mapping",
            example: "{labels: [ok, defect], min-size: [64, 64], unique: true}",
            "The records that are kept: by class, by size, or the first of several equal ones.",
            text: { $0.data.options.filter.yaml.map { .inline($0) } },
            read: { $1.data.options.filter = try RecordFilter(reading: $0) }
        ).withoutFlag,
        Setting(
            "data.split", values: "share above 0 and below 1, or a mapping",
            example: "{test: 0.2, by: hash}",
            """
            The share of the training records that becomes test records; in the run file by says hash, \
            stratified, series or time, and group is a regular expression on the record's name.
            """,
            text: { $0.data.options.split.map { .inline($0.yaml) } },
            read: { $1.data.options.split = try SplitRule(reading: $0) }),
        Setting(
            "data.sample", values: "share above 0 and at most 1",
            "The share of the training records that is used.",
            text: { $0.data.options.sample == 1 ? nil : .inline("\($0.data.options.sample)") },
            read: { value, configuration in
                let keys = value.isMapping ? try value.mapping() : nil
                let share = try keys?.requiredValue("fraction") ?? value
                configuration.data.options.sample = try share.double("above 0 and at most 1") {
                    $0 > 0 && $0 <= 1
                }
                try keys?.finish()
            }),
        Setting(
            "data.union", values: "list",
            example: "[{source: \"images:line1\"}, {source: \"images:line2\", weight: 2}]",
            """
            Several sources as one set, in place of data.source; weight is how many times an epoch has \
            each record.
            """,
            text: {
                $0.data.options.union.isEmpty
                    ? nil : .block($0.data.options.union.map { "- \($0.yaml)" })
            },
            read: { value, configuration in
                configuration.data.options.union = try value.list().map(UnionMember.init)
                if !configuration.data.options.union.isEmpty { configuration.data.source = "union" }
            }
        ).withoutFlag,
        Setting(
            "data.transformations", values: "list of \(TransformationKind.names)",
            example: "[{random-crop: {padding: 4}}]",
            decides: .resolved { configuration, _ in
                TransformationText.encode(configuration.data.transformations)
            },
            "What is done to each training image, in order; Cluster/cifar10.yaml has an example.",
            text: {
                $0.data.transformations.isEmpty
                    ? nil : .block($0.data.transformations.map { "- \($0.yaml)" })
            },
            read: { value, configuration in
                configuration.data.transformations = try value.list().map(Transformation.init)
            }
        ).withoutFlag,
    ]

    private static let model = Setting(
        "model", values: "\(ModelSpecification.builtInNames.joined(separator: ", ")), FILE.yaml",
        decides: .resolved { $1.modelFingerprint },
        """
        A built-in model, a model file such as Cluster/models/lenet.yaml, or in the run file the keys \
        `input` and `layers` themselves.
        """,
        text: {
            switch $0.model {
            case .builtIn(let name): return .inline(name)
            case .specification(let model):
                let lines = model.yaml.split(separator: "\n").map(String.init)
                return .block(["name: \(YAMLText.quoted(model.name))"] + lines)
            }
        },
        read: { value, configuration in
            guard value.isMapping else {
                configuration.model = try RunConfiguration.model(value.string())
                return
            }
            let layers = try value.mapping()
            let name = try layers.string("name", default: "model")
            configuration.model = .specification(
                try ModelSpecification(name: name, mapping: layers))
        })

    private static let transfer = [
        patterns(
            "freeze", \.freeze, example: "[\"layer1.*\"]",
            decides: .resolved { configuration, _ in
                configuration.freeze.isEmpty ? nil : patternText(configuration.freeze)
            },
            """
            Tensors that stay as they are, by patterns of their names: neither differentiated, sent nor \
            updated.
            """),
        Setting(
            "unfreeze", values: "mapping", example: "{epoch: 3, rate: 0.1}",
            decides: .resolved { configuration, _ in unfreezeText(configuration) },
            """
            The epoch, counted from 1, from which on nothing is frozen, and what the learning rate of \
            those tensors is multiplied by from there on.
            """,
            text: { unfreezeText($0).map { .inline($0) } },
            read: { value, configuration in
                let settings = try value.mapping()
                var unfreeze = RunConfiguration.Unfreezing(
                    epoch: try settings.integer("epoch", in: 2...1_000_000))
                unfreeze.rate = try settings.double("rate", "above 0 and at most 1000", default: 1) {
                    $0 > 0 && $0 <= 1000
                }
                try settings.finish()
                configuration.unfreeze = unfreeze
            }
        ).withoutFlag,
        Setting(
            "groups", values: "list", example: "[{match: \"layer4.*\", rate: 0.1, decay: 0}]",
            decides: .resolved { configuration, _ in
                configuration.groups.isEmpty
                    ? nil : configuration.groups.map(\.yaml).joined(separator: ", ")
            },
            """
            What learning rate and weight decay are multiplied by for tensors of some names; of several \
            groups for a name the last one counts.
            """,
            text: {
                $0.groups.isEmpty ? nil : .block($0.groups.map { "- \($0.yaml)" })
            },
            read: { value, configuration in
                configuration.groups = try value.list().map(ParameterGroup.init)
            }
        ).withoutFlag,
        Setting(
            "init.file", flag: "init", values: "FILE or DIR", example: "\"weights.safetensors\"",
            """
            Initial weights from a safetensors file, a checkpoint or a run in place of the seed's.
            """,
            text: { $0.initial.file.map { .inline(YAMLText.quoted($0)) } },
            read: { $1.initial.file = try $0.string() }),
        patterns(
            "init.except", \.initial.except, flag: "init-except", example: "[\"fc.*\"]",
            "Tensors that are drawn from the seed all the same: a new head."),
    ]

    private static func unfreezeText(_ configuration: RunConfiguration) -> String? {
        configuration.unfreeze.map { "{epoch: \($0.epoch), rate: \($0.rate)}" }
    }

    private static func patternText(_ patterns: [String]) -> String {
        YAMLText.list(patterns)
    }

    /// Returns a setting that is a list of patterns of names. Its flag may be repeated.
    private static func patterns(
        _ key: String, _ path: Path<[String]>, flag: String? = nil, example: String,
        decides: Decision = .no, _ summary: String
    ) -> Setting {
        Setting(
            key, flag: flag, values: "patterns of names", example: example, decides: decides, summary,
            text: {
                let patterns = $0[keyPath: path]
                return patterns.isEmpty ? nil : .inline(patternText(patterns))
            },
            read: { $1[keyPath: path] = try $0.patterns() }
        ).repeatable
    }

    private static let training = [
        whole("training.epochs", \.training.epochs, 1...1_000_000, "Passes over the training records."),
        optionalWhole(
            "training.steps", \.training.steps, 1...1_000_000_000, example: "1000",
            "Ends the run after so many steps, whatever the epochs say."),
        whole(
            "training.batch-size", \.training.batchSize, 1...16_777_216, decides: .value,
            "Records a step, over all virtual workers; a multiple of their number."),
        whole(
            "training.virtual-workers", \.training.virtualWorkers, 1...ReductionTree.maximumLeafCount,
            decides: .value,
            """
            Fixed shares of every batch, and the most workers x threads that can be busy at a time; they \
            decide the bits, the number of workers does not.
            """),
        Setting(
            "training.seed", values: "0 to \(UInt64.max)", decides: .value,
            "Decides initial weights, the order of records, augmentation and dropout.",
            text: { .inline("\($0.training.seed)") },
            read: { $1.training.seed = try $0.unsignedInteger() }),
        choice(
            "training.precision", \.training.precision, decides: .value,
            "Arithmetic of convolutions and dense layers."),
        choice(
            "training.wire-precision", \.training.wirePrecision, decides: .value,
            """
            What gradient sums and weights are rounded to when they travel: bf16 halves the traffic. Master \
            weights and optimizer state are fp32 in either case.
            """),
        whole(
            "training.checkpoint-every", \.training.checkpointEvery, 1...1_000_000_000,
            "Steps from one checkpoint to the next: what is lost at most when everything dies."),
        choice(
            "training.backend", \.training.backend, decides: .resolved { $1.backend.rawValue },
            """
            Who computes; auto is native for fp32 on AVX2, and for bf16 where the processor has no \
            instructions for it, and otherwise onednn where the build has it.
            """),
        whole(
            "training.tile-size", \.training.tileSize, 1...4096, decides: .value,
            "Images that are computed together in the processor's cache; native takes 8."),
        Setting(
            "training.instruction-set",
            values: (["auto"] + InstructionSet.ascending).joined(separator: ", "),
            decides: .resolved { $1.backend == .oneDNN ? $0.training.instructionSet : nil },
            """
            Instructions that onednn uses; auto is the best that every worker of the start has, a name gives \
            the same bits on unlike processors.
            """,
            text: { .inline($0.training.instructionSet ?? "auto") },
            read: { value, configuration in
                let name = try value.oneOf(["auto"] + InstructionSet.ascending)
                configuration.training.instructionSet = name == "auto" ? nil : name
            }),
        Setting(
            "training.audit", values: "0 to 1",
            "Share of the work that a second worker repeats to compare the bits.",
            text: { .inline("\($0.training.auditRate)") },
            read: { value, configuration in
                configuration.training.auditRate = try value.double("from 0 to 1") {
                    (0...1).contains($0)
                }
            }),
        Setting(
            "training.schedule", values: RunConfiguration.scheduleNames.joined(separator: ", "),
            decides: .resolved { configuration, facts in
                let training = configuration.training
                if training.schedule == LearningRateSchedule(), training.plateau == nil {
                    return nil
                }
                let length = training.schedule.dependsOnLength
                return training.scheduleText
                    + (length ? " over \(configuration.length(facts.data)) steps" : "")
            },
            """
            How the learning rate changes; in the run file a mapping may say more, such as \
            {name: cosine, warmup-epochs: 5}.
            """,
            text: { .inline($0.training.scheduleText) },
            read: { try $1.training.readSchedule($0) }),
        Setting(
            "training.early-stopping", values: "off, epochs, or {metric, patience, min-delta}",
            decides: .resolved { configuration, _ in configuration.training.earlyStopping?.yaml },
            """
            Ends the run when a test metric has not improved for so many epochs; in the run file \
            {metric: test-accuracy, patience: 5} names the metric, which is test-loss otherwise.
            """,
            text: { .inline($0.training.earlyStopping?.yaml ?? "off") },
            read: { $1.training.earlyStopping = try EarlyStopping(reading: $0) }),
        Setting(
            "training.loss", values: LossFunction.names.joined(separator: ", "),
            decides: .resolved { configuration, facts in
                let loss = configuration.training.loss
                if loss == LossFunction() { return nil }
                // Weights that follow from the data stand for numbers. The model's number of
                // outputs is decided by the model.
                let resolved = try? loss.resolved(
                    classHistogram: facts.data.classHistogram,
                    outputCount: facts.data.classHistogram.count)
                return (resolved ?? loss).yaml
            },
            """
            What training makes small; in the run file a mapping may say more, such as \
            {name: cross-entropy, label-smoothing: 0.1, class-weights: balanced}.
            """,
            text: { .inline($0.training.loss.yaml) },
            read: { $1.training.loss = try LossFunction(reading: $0) }),
        Setting(
            "training.clip-norm", values: "number above 0", example: "1.0",
            decides: .resolved { configuration, _ in
                configuration.training.clipNorm.map { "\($0)" }
            },
            "Largest norm of the gradient of a step; a gradient with a larger one is scaled to it.",
            text: { $0.training.clipNorm.map { .inline("\($0)") } },
            read: { value, configuration in
                configuration.training.clipNorm = try value.double("above 0") { $0 > 0 }
            }),
        Setting(
            "training.ema", values: "number above 0 and below 1", example: "0.999",
            decides: .resolved { configuration, _ in
                configuration.training.averageDecay.map { "\($0)" }
            },
            """
            Share that an update keeps of the exponential moving average of the weights; checkpoints \
            hold the average in ema.safetensors.
            """,
            text: { $0.training.averageDecay.map { .inline("\($0)") } },
            read: { value, configuration in
                configuration.training.averageDecay = try value.double("above 0 and below 1") {
                    $0 > 0 && $0 < 1
                }
            }),
        boolean(
            "training.keep-going", \.training.keepsGoing,
            """
            Goes on when a loss or weights are not finite numbers; otherwise the run ends with 65 and the \
            last finite weights.
            """),
    ]

    private static let optimizer =
        [
            Setting(
                "optimizer.name", flag: "optimizer",
                values: OptimizerSpecification.names.joined(separator: ", "), decides: .value,
                "The optimizer; its numbers have its own defaults unless they are given.",
                text: { .inline($0.optimizer.name) },
                read: { value, configuration in
                    let name = try value.oneOf(OptimizerSpecification.names)
                    guard name != configuration.optimizer.name,
                        let optimizer = OptimizerSpecification(named: name)
                    else { return }
                    configuration.optimizer = optimizer
                })
        ] + OptimizerSpecification.numbers.map(optimizerNumber) + [
            Setting(
                "optimizer.nesterov", isSwitch: true, values: "true, false", decides: .value,
                "Looks ahead by the momentum; for sgd.",
                text: { $0.optimizer.nesterov.map { .inline("\($0)") } },
                read: { $1.optimizer.nesterov = try $0.boolean() }
            ).where { $0.optimizer.nesterov != nil },
            Setting(
                "optimizer.decay-1d", isSwitch: true, values: "true, false",
                decides: .resolved { configuration, _ in
                    configuration.training.decays1D ? nil : "false"
                },
                "Whether weight decay applies to biases and normalisations too.",
                text: { .inline("\($0.training.decays1D)") },
                read: { $1.training.decays1D = try $0.boolean() }),
        ]

    private static let cluster = [
        whole("cluster.workers", \.cluster.workers, 1...4096, "Worker processes."),
        whole("cluster.threads", \.cluster.threads, 1...1024, "Compute threads of each worker."),
        whole(
            "cluster.servers", \.cluster.servers, 0...1024,
            "Parameter server processes; 0 puts a shard of the parameters into every worker."),
        whole(
            "cluster.heartbeat-interval-ms", \.cluster.heartbeatIntervalMilliseconds, 10...3_600_000,
            "Time between signs of life; a process that is silent for three of them counts as lost."),
        boolean(
            "cluster.shared-memory", \.cluster.sharedMemory,
            "Processes of one host exchange sums and weights through memory in place of sockets."),
        optionalWhole(
            "cluster.fan-in", \.cluster.fanIn, 0...4096, example: "32",
            """
            Beyond so many workers they add one another's sums before a server hears them; 0 for never. \
            Unless it is set 32, and never within one host.
            """),
    ]
}
