import ClusterRuntime
import CounterRandom
import NeuralNetwork
import RunFiles
import StrictYAML
import TestSupport

/// A small IDX data set and a small model for it.
struct SampleData {
    /// Not a multiple of the batch, so that an epoch's last microbatches are short and uneven.
    var trainingCount = 203
    var testCount = 61
    var side = 12
    var classCount = 4

    static let model = """
        input: [1, 12, 12]
        layers:
          - conv2d: {filters: 5, kernel: 3, activation: relu}
          - max-pool2d: {size: 2}
          - flatten: {}
          - dense: {units: 16, activation: relu}
          - dropout: {rate: 0.25}
          - dense: {units: 4}

        """

    /// A model for the reference backend, which is slow.
    static let tinyModel = """
        input: [1, 12, 12]
        layers:
          - conv2d: {filters: 2, kernel: 5, stride: 2, activation: relu}
          - flatten: {}
          - dropout: {rate: 0.5}
          - dense: {units: 4}

        """

    /// A model with batch normalisation in two segments and more, and with every kind of branch.
    static let graphModel = """
        input: [1, 12, 12]
        layers:
          - conv2d: {filters: 8, kernel: 3, stride: 2, padding: 1, bias: false}
          - batch-norm
          - relu
          - residual:
              layers:
                - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false}
                - batch-norm
                - relu
                - conv2d: {filters: 8, kernel: 3, padding: 1, groups: 8, bias: false}
                - batch-norm
          - relu
          - parallel:
              branches:
                - [{conv2d: {filters: 4, kernel: 3, padding: 2, dilation: 2, groups: 2}}, {group-norm: {groups: 2}}]
                - [{average-pool2d: {size: 3, stride: 1, padding: 1}}, {conv2d: {filters: 4, kernel: 1}}, silu]
          - gate: {layers: [global-average-pool, layer-norm, {dense: {units: 8}}, sigmoid]}
          - global-average-pool
          - dropout: {rate: 0.2}
          - dense: {units: 4, bias: false}

        """

    /// A model whose first dense layer has so many weights that it runs on several tiles at a time, in a
    /// segment of its own.
    static let wideModel = """
        input: [1, 12, 12]
        layers:
          - conv2d: {filters: 4, kernel: 3, activation: relu}
          - flatten
          - dense: {units: 330, activation: relu}
          - dense: {units: 4}

        """

    /// Images read as series: one channel of their rows one after another.
    static let seriesModel = """
        input: [1, 12, 12]
        layers:
          - conv2d: {filters: 12, kernel: [12, 1]}
          - conv1d: {filters: 8, kernel: 5, padding: same, bias: false}
          - batch-norm
          - relu
          - conv1d: {filters: 8, kernel: 3, stride: 2, padding: 1}
          - gelu
          - global-average-pool
          - dense: {units: 4}

        """

    static func word(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    func label(_ record: Int) -> Int { (record * 7 + record / 11) % classCount }

    /// Noise with a brighter square; the square's place is the label.
    func images(_ count: Int, salt: UInt64) -> [UInt8] {
        var bytes = [0x803, count, side, side].flatMap(Self.word)
        for record in 0..<count {
            let label = label(record)
            for place in 0..<side * side {
                let noise = mix64(salt << 40 | UInt64(record * side * side + place)) & 127
                let isBright = place / side / 6 == label / 2 && place % side / 6 == label % 2
                bytes.append(UInt8(noise + (isBright ? 96 : 0)))
            }
        }
        return bytes
    }

    func labels(_ count: Int) -> [UInt8] {
        [0x801, count].flatMap(Self.word) + (0..<count).map { UInt8(label($0)) }
    }

    static let files = [
        "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]

    /// Writes the data set.
    ///
    /// - Returns: the data set's specification.
    func write(
        to directory: TemporaryDirectory, folder: String = "data",
        damage: (String, [UInt8]) -> [UInt8] = { $1 }
    ) throws -> String {
        let contents = [
            images(trainingCount, salt: 1), labels(trainingCount), images(testCount, salt: 2),
            labels(testCount),
        ]
        for (name, bytes) in zip(Self.files, contents) {
            try directory.write(damage(name, bytes), "\(folder)/\(name)")
        }
        return "idx:\(directory.path)/\(folder)"
    }

    /// Writes CIFAR-10 batches in the original layout.
    static func writeCIFAR(
        to directory: TemporaryDirectory, recordCount: Int,
        damage: (String, [UInt8]) -> [UInt8] = { $1 }
    ) throws -> String {
        let names = (1...5).map { "data_batch_\($0).bin" } + ["test_batch.bin"]
        for (salt, name) in names.enumerated() {
            var bytes: [UInt8] = []
            for record in 0..<recordCount {
                bytes.append(UInt8((record * 3 + salt) % 10))
                for place in 0..<3072 {
                    bytes.append(
                        UInt8(truncatingIfNeeded: mix64(UInt64(salt << 32 | record << 12 | place))))
                }
            }
            try directory.write(damage(name, bytes), "cifar/\(name)")
        }
        return "cifar10:\(directory.path)/cifar"
    }
}

extension RunConfiguration {
    /// The steps of a run that its test ends when it has seen enough (`TrainRun.endAsSerial`),
    /// however fast the machine is.
    static let endless = 1_000_000

    /// A run on sample data: six virtual workers, uneven partitions, several epochs.
    static func sample(
        _ data: String, model: String = SampleData.model, steps: Int,
        backend: BackendChoice = .auto
    ) throws -> RunConfiguration {
        var configuration = RunConfiguration()
        configuration.data.source = data
        configuration.data.partitions = 5
        configuration.model = .specification(
            try ModelSpecification(
                name: "sample", mapping: StrictDocument.parse(model, fileName: "sample.yaml")))
        configuration.training.virtualWorkers = 6
        configuration.training.batchSize = 36
        configuration.training.epochs = 100_000
        configuration.training.steps = steps
        configuration.training.seed = 11
        configuration.training.backend = backend
        configuration.training.checkpointEvery = 1_000_000
        configuration.cluster.heartbeatIntervalMilliseconds = 1000
        return configuration
    }

    func with(workers: Int, threads: Int = 1, servers: Int) -> RunConfiguration {
        var copy = self
        copy.cluster.workers = workers
        copy.cluster.threads = threads
        copy.cluster.servers = servers
        return copy
    }
}
