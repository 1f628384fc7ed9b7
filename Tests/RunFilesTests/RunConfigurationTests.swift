import ClusterProtocol
import CounterRandom
import NeuralNetwork
import Partitions
import Pictures
import RunFiles
import TestSupport
import Testing

@Suite struct RunConfigurationTests {
    /// The defaults, as a run file.
    private static let designFile = """
        data: {source: fashion-mnist, partitions: 8}
        model: cnn
        training: {epochs: 10, batch-size: 64, virtual-workers: 4, seed: 1, precision: fp32, \
        checkpoint-every: 500}
        optimizer: {name: adam, learning-rate: 0.001}
        cluster: {workers: 2, threads: 1, servers: 1, heartbeat-interval-ms: 1000, shared-memory: true}
        """

    private func parse(_ text: String) throws -> RunConfiguration {
        try RunConfiguration.parse(text, fileName: "run.yaml")
    }

    @Test func defaultsAreTheDesigns() throws {
        let defaults = RunConfiguration()
        #expect(defaults.data.source == "fashion-mnist" && defaults.data.partitions == 8)
        #expect(defaults.data.transformations.isEmpty)
        #expect(defaults.model == .builtIn("cnn"))
        #expect(defaults.training.epochs == 10 && defaults.training.batchSize == 64)
        #expect(defaults.training.virtualWorkers == 4 && defaults.training.seed == 1)
        #expect(defaults.training.precision == .fp32 && defaults.training.checkpointEvery == 500)
        #expect(defaults.training.wirePrecision == .fp32)
        #expect(defaults.training.steps == nil && defaults.training.backend == .auto)
        #expect(defaults.training.instructionSet == nil && defaults.training.tileSize == 8)
        #expect(
            defaults.optimizer
                == .adam(Adam(learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7)))
        #expect(defaults.cluster.workers == 2 && defaults.cluster.threads == 1)
        #expect(defaults.cluster.servers == 1)
        #expect(defaults.cluster.heartbeatInterval == .seconds(1))
        #expect(try parse(Self.designFile) == defaults)
        #expect(try parse("") == defaults)
        #expect(try parse("training:\ncluster: {}\n") == defaults)
        try defaults.validate()
    }

    @Test func everyKeyIsRead() throws {
        let text = """
            data:
              source: idx:images
              partitions: 3
              image: {size: [8, 9], channels: 1, filter: box, fit: crop, orientation: apply,
                alpha: white, sixteen-bit: scale, bad-records: skip 2.5%, allow-empty: true,
                maximum-pixels: 1000}
              table: {label: state, targets: [], columns: [x, y], shape: [2, 1, 1], separator: ";"}
              series: {length: 16, stride: 4, by: machine, time: t, gap: 0.5, label-at: majority}
              labels: {map: {scratch: defect}, drop: [unknown]}
              filter: {labels: [ok], min-size: [4, 5], unique: true}
              split: {test: 0.25, group: "m(\\d+)"}
              sample: {fraction: 0.5}
              union: []
              transformations:
                - standardize: {mean: [0.5], deviation: [0.25]}
                - random-horizontal-flip: {}
                - random-crop: {padding: 4}
            model:
              input: [1, 4, 4]
              layers: [flatten: {}, dense: {units: 3}]
            training: {epochs: 2, steps: 77, batch-size: 12, virtual-workers: 3, seed: 18446744073709551615,
              precision: bf16, wire-precision: bf16, checkpoint-every: 9, backend: reference, tile-size: 5,
              instruction-set: avx2, audit: 0.25, keep-going: true,
              schedule: {name: multi-step, at-epochs: [1, 1.5], warmup-steps: 3},
              loss: {name: cross-entropy, label-smoothing: 0.1, class-weights: [1, 0.5, 0]},
              clip-norm: 0.25, ema: 0.999,
              early-stopping: {metric: test-accuracy, patience: 4, min-delta: 0.01}}
            init: {file: start.safetensors, except: ["fc.*"]}
            freeze: [conv1.*, "bn?.*"]
            unfreeze: {epoch: 2, rate: 0.5}
            groups: [{match: dense1.*, rate: 0.1, decay: 0}, {match: "*", decay: 2}]
            optimizer: {name: sgd, learning-rate: 0.5, momentum: 0.9, nesterov: true, decay-1d: false}
            cluster: {workers: 5, threads: 2, servers: 0, heartbeat-interval-ms: 50, shared-memory: false,
              fan-in: 7}
            """
        let read = try parse(text)
        #expect(read.data.source == "idx:images" && read.data.partitions == 3)
        var options = SourceOptions()
        options.image.picture = PictureOptions(
            size: .init(height: 8, width: 9), channels: 1, filter: .box, fit: .crop,
            orientation: .apply, alpha: .white, sixteenBit: .scale, maximumPixelCount: 1000)
        options.image.badRecords = .skipPercent(2.5)
        options.image.allowsEmptyClasses = true
        options.table.label = "state"
        options.table.columns = ["x", "y"]
        options.table.shape = [2, 1, 1]
        options.table.separator = ";"
        options.series = SeriesOptions(length: 16, stride: 4)
        options.series?.by = "machine"
        options.series?.time = "t"
        options.series?.gap = 0.5
        options.series?.labelAt = .majority
        options.labels.map = ["scratch": "defect"]
        options.labels.drop = ["unknown"]
        options.filter.labels = ["ok"]
        options.filter.minimumHeight = 4
        options.filter.minimumWidth = 5
        options.filter.isUnique = true
        options.split = SplitRule(test: 0.25, by: .group(#"m(\d+)"#))
        options.sample = 0.5
        #expect(read.data.options == options)
        #expect(
            read.data.transformations == [
                .standardize(mean: [0.5], deviation: [0.25]), .randomHorizontalFlip,
                .randomCrop(padding: 4),
            ])
        let model = ModelSpecification(
            name: "model", inputShape: [1, 4, 4], layers: [.flatten, .dense(units: 3)])
        #expect(read.model == .specification(model))
        #expect(read.training.epochs == 2 && read.training.steps == 77)
        #expect(read.training.batchSize == 12 && read.training.virtualWorkers == 3)
        #expect(read.training.seed == .max && read.training.precision == .bf16)
        #expect(read.training.wirePrecision == .bf16)
        #expect(read.training.checkpointEvery == 9 && read.training.backend == .reference)
        #expect(read.training.tileSize == 5 && read.training.instructionSet == "avx2")
        #expect(read.initial.file == "start.safetensors" && read.initial.except == ["fc.*"])
        #expect(read.freeze == ["conv1.*", "bn?.*"])
        #expect(read.unfreeze?.epoch == 2 && read.unfreeze?.rate == 0.5)
        #expect(
            read.groups == [
                ParameterGroup(match: NamePattern("dense1.*"), rate: 0.1, decay: 0),
                ParameterGroup(match: NamePattern("*"), decay: 2),
            ])
        #expect(read.optimizer == .sgd(SGD(learningRate: 0.5, momentum: 0.9, nesterov: true)))
        #expect(read.cluster.workers == 5 && read.cluster.threads == 2)
        #expect(read.cluster.servers == 0 && read.cluster.fanIn == 7)
        #expect(read.cluster.heartbeatIntervalMilliseconds == 50)
        #expect(read.training.auditRate == 0.25 && read.training.keepsGoing)
        #expect(
            read.training.schedule
                == LearningRateSchedule(
                    .multiStep(at: [.epochs(1), .epochs(1.5)], factor: 0.1), warmup: .steps(3)))
        #expect(
            read.training.earlyStopping
                == EarlyStopping(metric: .testAccuracy, patience: 4, minimumDelta: 0.01))
        #expect(
            read.training.loss
                == .crossEntropy(labelSmoothing: 0.1, classWeights: .each([1, 0.5, 0])))
        #expect(!read.training.decays1D)
        #expect(read.training.clipNorm == 0.25 && read.training.averageDecay == 0.999)
        #expect(!read.cluster.sharedMemory)
        #expect(try parse(read.yaml) == read)
        for setting in Setting.all where !setting.key.hasPrefix("optimizer.") {
            let name = setting.key.split(separator: ".").last ?? ""
            #expect(text.contains("\(name):"), "the run file of this test lacks \(setting.key)")
        }
    }

    /// A union takes the place of the source, and its members have options of their own.
    @Test func unionsAreRead() throws {
        let text = """
            data:
              image: 64x32
              split: 0.1
              union:
                - {source: "images:line1"}
                - {source: "csv:line2.csv", weight: 3, table: {label: state}, series: {length: 8}}
            """
        var read = try parse(text)
        #expect(try read.data.specification().description == "union")
        #expect(read.data.options.image.picture.size == .init(height: 64, width: 32))
        #expect(read.data.options.split == SplitRule(test: 0.1))
        let members = read.data.options.union
        #expect(members.map(\.weight) == [1, 3])
        #expect(members[1].specification.options.table.label == "state")
        #expect(members[1].specification.options.series == SeriesOptions(length: 8))
        #expect(try parse(read.yaml) == read)
        read.makePathsAbsolute()
        #expect(read.data.options.union[0].specification.location.hasPrefix("/"))
        #expect(try parse(read.yaml) == read)
    }

    @Test(
        arguments: [
            ("data: {image: {size: 0}}", "image.size: expected a size such as 64"),
            ("data: {image: {size: [1]}}", "image.size: expected [height, width]"),
            ("data: {image: {channels: 2}}", "image.channels: expected one of 1, 3"),
            ("data: {image: {bad-records: some}}", "expected fail, skip N or skip P%"),
            ("data: {split: 1}", "split: expected a number above 0 and below 1"),
            ("data: {split: {test: 0.5, by: x}}", "split.by: expected one of hash"),
            ("data: {sample: 0}", "sample: expected a number above 0 and at most 1"),
            ("data: {series: {stride: 4}}", "series.length: is required here, but missing"),
            ("data: {union: [{source: nothing}]}", "expected one of fashion-mnist, images:DIR"),
            ("data: {filter: {labls: [a]}}", "did you mean \"labels\"?"),
        ])
    func badDataOptions(_ text: String, problem: String) {
        do {
            _ = try parse(text)
            Issue.record("\(text) was read")
        } catch {
            #expect("\(error)".contains(problem), "\(error)")
        }
    }

    @Test(
        arguments: [
            ("trainin: {}", "run.yaml:1: trainin: unknown key \"trainin\"; did you mean \"training\"?"),
            (
                "training:\n  batchsize: 8",
                "run.yaml:2: training.batchsize: unknown key \"batchsize\"; did you mean \"batch-size\"?"
            ),
            ("data: {sourc: x}", "data.sourc: unknown key \"sourc\"; did you mean \"source\"?"),
            ("cluster: {hosts: 3}", "cluster.hosts: unknown key \"hosts\";"),
            ("optimizer: {name: adam, momentum: 1}", "optimizer.momentum: unknown key \"momentum\";"),
            (
                "data: {transformations: [rotate: {}]}",
                "data.transformations[0]: unknown transformation \"rotate\";"
            ),
        ])
    func unknownKeysAreRefused(text: String, problem: String) {
        expect(text, problem)
    }

    @Test(
        arguments: [
            (
                "training: {epochs: many}",
                "training.epochs: expected a whole number from 1 to 1000000, found \"many\""
            ),
            ("training: {epochs: 0}", "training.epochs: expected a whole number from 1"),
            ("training: {clip-norm: 0}", "training.clip-norm: expected a number above 0, found \"0\""),
            ("training: {clip-norm: off}", "training.clip-norm: expected a number above 0"),
            ("training: {ema: 1}", "training.ema: expected a number above 0 and below 1, found \"1\""),
            ("training: {ema: 0}", "training.ema: expected a number above 0 and below 1"),
            ("training: {epochs: 2.5}", "training.epochs: expected a whole number from 1"),
            ("training: {epochs: \"2\"}", "training.epochs: expected a whole number from 1"),
            ("training: {seed: -1}", "training.seed: expected a whole number from 0 to 18446744073709551615"),
            ("training: {precision: fp64}", "training.precision: expected one of fp32, bf16, found \"fp64\""),
            (
                "training: {wire-precision: fp16}",
                "training.wire-precision: expected one of fp32, bf16, found \"fp16\""
            ),
            (
                "training: {virtual-workers: 65537}",
                "training.virtual-workers: expected a whole number from 1 to 65536"
            ),
            ("training: {instruction-set: mmx}", "training.instruction-set: expected one of auto, generic, "),
            ("training: [1]", "training: expected keys and values, found a list of 1"),
            ("cluster: {servers: -1}", "cluster.servers: expected a whole number from 0 to 1024"),
            ("cluster: {workers: 0}", "cluster.workers: expected a whole number from 1 to 4096"),
            ("optimizer: {learning-rate: fast}", "optimizer.learning-rate: expected a number"),
            (
                "optimizer: {name: sgd, learning-rate: -1}",
                "optimizer.learning-rate: expected a number of at least 0, found \"-1\""
            ),
            (
                "optimizer: {learning-rate: nan}",
                "optimizer.learning-rate: expected a number of at least 0, found \"nan\""
            ),
            (
                "optimizer: {name: adam, beta1: 1}",
                "optimizer.beta1: expected a number of at least 0 and below 1.0, found \"1\""
            ),
            (
                "optimizer: {epsilon: 0}",
                "optimizer.epsilon: expected a number above 0, found \"0\""
            ),
            (
                "optimizer: {name: sgd, nesterov: true}",
                "optimizer.nesterov: needs a momentum above 0, found 0"
            ),
            ("data: {source: photos}", "data.source: data source: unknown form"),
            ("optimizer: {name: lamb}", "optimizer.name: expected one of adam, adamw, sgd, found \"lamb\""),
            (
                "data: {transformations: [{a: {}, b: {}}]}",
                "data.transformations[0]: expected one transformation"
            ),
            ("- a list", "run.yaml"),
            ("training: {epochs: 1, epochs: 2}", "run.yaml"),
        ])
    func wrongTypesAreRefused(text: String, problem: String) {
        expect(text, problem)
    }

    private func expect(_ text: String, _ problem: String) {
        let failure = failure { try parse(text) }
        #expect(failure?.kind == .configuration)
        #expect(failure?.text.contains(problem) == true, "\(failure?.text ?? "nothing thrown")")
        #expect(failure?.text.hasPrefix("run.yaml") == true)
    }

    @Test func contradictionsAreRefused() throws {
        var configuration = RunConfiguration()
        configuration.training.batchSize = 63
        let failure = failure { try configuration.validate() }
        #expect(failure?.kind == .configuration)
        #expect(
            failure?.text == "training.batch-size: expected a multiple of training.virtual-workers "
                + "(4), found 63")
        configuration.training.virtualWorkers = 0
        #expect(
            TestSupport.failure { try configuration.validate() }?.text
                == "training.virtual-workers: expected at least 1, found 0")
        configuration = RunConfiguration()
        configuration.optimizer["learning-rate"] = -1
        #expect(
            TestSupport.failure { try configuration.validate() }?.text.contains("learning-rate")
                == true)
    }

    @Test func aModelMustFitTheData() throws {
        let configuration = try parse("model: {input: [1, 4, 4], layers: [flatten: {}, dense: {units: 3}]}")
        func data(_ shape: [Int], _ classes: Int) -> DataSummary {
            DataSummary(
                name: "sample", shape: shape, classCount: classes, testCount: 1, fingerprint: "",
                partitionRecordCounts: [1])
        }
        #expect(try configuration.network(for: data([1, 4, 4], 3)).parameters.elementCount == 51)
        let shape = failure { try configuration.network(for: data([3, 4, 4], 3)) }
        #expect(shape?.text.contains("[3, 4, 4]") == true, "\(shape?.text ?? "")")
        let classes = failure { try configuration.network(for: data([1, 4, 4], 10)) }
        #expect(classes?.text.contains("10") == true, "\(classes?.text ?? "")")
        // The built-in model takes the data's shape and classes.
        let cnn = try RunConfiguration().network(for: data([3, 32, 32], 10))
        #expect(cnn.parameters.elementCount == 122_570)
        var unknown = RunConfiguration()
        unknown.model = .builtIn("lenet")
        let failure = failure { try unknown.network(for: data([3, 32, 32], 10)) }
        #expect(failure?.kind == .model)
        #expect(
            failure?.text.hasPrefix("model: model: expected a built-in model (cnn, ") == true
                && failure?.text.hasSuffix(", found lenet") == true)
    }

    /// Any configuration reads back equal from the file it writes.
    @Test func randomConfigurationsRoundTrip() throws {
        for seed in TestSeed.seeds(2_000) {
            var random = RandomStream(seed: seed, purpose: .simulation, 7)
            let configuration = Self.random(&random)
            let read = try? parse(configuration.yaml)
            #expect(read == configuration, "seed \(seed):\n\(configuration.yaml)")
        }
    }

    /// Texts that need quoting; each one is a possible path.
    private static let texts = [
        "fashion-mnist", "idx:a b", "~", "null", "true", "12", "a: b", "# x", "\"q\"", "back\\slash",
        "ends ", " starts", "tab\there", "line\nfeed", "return\rhere", "{a}", "[b]", "ä€😀", "-", "- a",
        "bell\u{7}", "next\u{85}line", "separator\u{2028}", "mark\u{FEFF}", "%", "@", "&a", "*a", "!t",
    ]

    private static func random(_ random: inout RandomStream) -> RunConfiguration {
        func text(_ random: inout RandomStream) -> String {
            let first = texts[random.next(below: texts.count)]
            return random.next(below: 2) == 0 ? first : first + texts[random.next(below: texts.count)]
        }
        var result = RunConfiguration()
        result.data.source = "idx:\(text(&random))"
        result.data.partitions = 1 + random.next(below: 1_000_000)
        for _ in 0..<random.next(below: 3) {
            switch random.next(below: 3) {
            case 0:
                let numbers = (0..<4).map { _ in (random.nextUniform() - 0.5) * 1e-3 }
                result.data.transformations.append(
                    .standardize(mean: [numbers[0], numbers[1] * 1e9], deviation: [numbers[2], 1e-30]))
            case 1: result.data.transformations.append(.randomHorizontalFlip)
            default:
                result.data.transformations.append(.randomCrop(padding: 1 + random.next(below: 64)))
            }
        }
        if random.next(below: 2) == 0 {
            result.model = .specification(
                ModelSpecification(
                    name: text(&random), inputShape: [1 + random.next(below: 3), 28, 30],
                    layers: [
                        .conv2D(
                            filters: 1 + random.next(below: 64),
                            kernel: Size2D(height: 3, width: 1 + random.next(below: 5)),
                            padding: .same, activation: .relu, initializer: .heUniform),
                        .maxPool2D(size: Size2D(2), stride: Size2D(1 + random.next(below: 2))),
                        .relu, .dropout(rate: Double(random.nextUniform()) * 0.99), .flatten,
                        .dense(units: 1 + random.next(below: 100)),
                    ]))
        }
        result.training.epochs = 1 + random.next(below: 1_000_000)
        if random.next(below: 2) == 0 { result.training.steps = 1 + random.next(below: 1_000_000_000) }
        result.training.virtualWorkers = 1 + random.next(below: 64)
        result.training.batchSize = result.training.virtualWorkers * (1 + random.next(below: 100))
        result.training.seed = random.next()
        result.training.precision = random.next(below: 2) == 0 ? .fp32 : .bf16
        result.training.wirePrecision = random.next(below: 2) == 0 ? .fp32 : .bf16
        result.training.checkpointEvery = 1 + random.next(below: 1_000_000_000)
        let backends = BackendChoice.allCases
        result.training.backend = backends[random.next(below: backends.count)]
        result.training.tileSize = 1 + random.next(below: 4096)
        if random.next(below: 2) == 0 {
            let names = InstructionSet.ascending
            result.training.instructionSet = names[random.next(below: names.count)]
        }
        if random.next(below: 2) == 0 { result.initial.file = text(&random) }
        switch random.next(below: 4) {
        case 0: result.training.loss = .meanSquaredError
        case 1: result.training.loss = .binaryCrossEntropy
        case 2:
            let weights = (0..<3).map { _ in Double(random.nextUniform()) + 1e-6 }
            result.training.loss = .crossEntropy(
                labelSmoothing: Double(random.nextUniform()),
                classWeights: random.next(below: 2) == 0 ? .balanced : .each(weights))
        default: break
        }
        let rate = Double(random.nextUniform()) * 0.9 + 1e-9
        switch random.next(below: 3) {
        case 0: result.optimizer = .adam(Adam(learningRate: rate, beta1: rate, epsilon: rate * 1e-9))
        case 1: result.optimizer = .adamW(AdamW(learningRate: rate / 3, weightDecay: rate * 0.1))
        default:
            result.optimizer = .sgd(
                SGD(learningRate: rate, momentum: rate / 7, nesterov: random.next(below: 2) == 0))
        }
        result.cluster.workers = 1 + random.next(below: 4096)
        result.cluster.threads = 1 + random.next(below: 1024)
        result.cluster.servers = random.next(below: 1025)
        result.cluster.heartbeatIntervalMilliseconds = 10 + random.next(below: 3_599_990)
        return result
    }
}
