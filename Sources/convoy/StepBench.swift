import Backends
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import RunFiles
import Threads

/// Measures the steps of one engine on the calling thread, part by part.
///
/// Each round measures everything once: the whole engine, its convolutions only, its parts, copies
/// of memory, input and optimizer. So other load on the host affects all of them alike. Times are
/// medians over the rounds, in microseconds for each step.
struct StepBench {
    /// The time of one part of a step.
    struct Row {
        let part: EnginePart
        /// The time in one step.
        let microseconds: Double
        /// The time of the bare primitive, or of a copy of as many bytes; nil where neither is a
        /// useful limit.
        let limit: Double?
    }

    let network: Network
    let batchSize: Int
    let tileSize: Int
    let backend: BackendKind
    let instructionSet: String
    private(set) var rows: [Row] = []
    /// The time of the engine as a worker uses it: weights in, forward, backward, gradient out.
    private(set) var engine = 0.0
    /// The time of the convolution primitives of the same tiles and nothing else.
    private(set) var convolutions = 0.0
    /// The time to load a microbatch.
    private(set) var input = 0.0
    /// The time of a copy of as many bytes as loading a microbatch moves.
    private(set) var inputLimit = 0.0
    /// The time of one update by the optimizer.
    private(set) var optimizer = 0.0
    /// The time of a copy of as many bytes as the optimizer moves.
    private(set) var optimizerLimit = 0.0

    /// The number of tiles in a microbatch.
    var tileCount: Int { (batchSize + tileSize - 1) / tileSize }
    /// The throughput of the engine in images a second.
    var engineRate: Double { Double(batchSize) * 1e6 / engine }
    /// The throughput of the convolutions in images a second; nil for a model without convolutions.
    var convolutionRate: Double? {
        convolutions > 0 ? Double(batchSize) * 1e6 / convolutions : nil
    }

    /// Measures a network.
    ///
    /// - Parameter roundCount: the number of rounds that count.
    /// - Throws: `.configuration` when the backend is not available or has no parts to measure.
    init(
        network: Network, batchSize: Int, precision: Precision, tileSize: Int,
        backend: BackendChoice, roundCount: Int
    ) throws(RunError) {
        self.network = network
        self.batchSize = batchSize
        self.tileSize = tileSize
        let made: any GradientEngine
        do throws(BackendError) {
            let kind = try Backends.resolve(
                backend, precision: precision, tileSize: tileSize, for: network)
            self.backend = kind
            instructionSet = Backends.hostInstructionSet(kind)
            made = try Backends.makeEngine(
                kind, network: network,
                configuration: EngineConfiguration(
                    seed: 1, tileSize: tileSize, precision: precision))
        } catch {
            throw .configuration("\(error)")
        }
        guard let engine = made as? any ProfiledEngine else {
            throw .configuration(
                "the reference backend has no parts to measure; use native or onednn")
        }
        measure(engine, roundCount: roundCount)
    }

    private mutating func measure(_ engine: any ProfiledEngine, roundCount: Int) {
        let material = StepBenchMaterial(network: network, batchSize: batchSize)
        let profile = engine.makeProfile()
        let parts = profile.parts
        var samples = StepSamples(partCount: parts.count)
        let clock = { SteadyClock.nanoseconds() }
        // The first rounds only warm up caches and clocks.
        let warmUpCount = min(5, roundCount)
        for round in 0..<warmUpCount + roundCount {
            if round == warmUpCount { samples = StepSamples(partCount: parts.count) }
            samples.input.append(time { material.load(round: round) })
            samples.engine.append(
                time {
                    engine.setParameters(material.weights.pointer)
                    _ = engine.computeGradient(
                        material.view, epoch: 0, into: material.gradient.pointer)
                })
            var bare = [Int64](repeating: 0, count: parts.count)
            profile.runConvolutions(tileCount: tileCount, clock: clock, times: &bare)
            samples.convolutions.append(bare.reduce(0, +))
            var times = [Int64](repeating: 0, count: parts.count)
            _ = profile.run(
                parameters: material.weights.pointer, batch: material.view, epoch: 0,
                into: material.gradient.pointer, clock: clock, times: &times)
            for (index, part) in parts.enumerated() {
                samples.parts[index].append(times[index])
                samples.limits[index].append(
                    part.isConvolution
                        ? bare[index]
                        : material.copyTime(part.byteCount) * Int64(part.isPerTile ? tileCount : 1))
            }
            samples.optimizer.append(time { material.update(round: round) })
            samples.inputLimit.append(material.copyTime(material.inputByteCount))
            samples.optimizerLimit.append(material.copyTime(material.optimizerByteCount))
        }
        take(samples, parts)
    }

    /// Keeps the medians of the samples, in microseconds.
    private mutating func take(_ samples: StepSamples, _ parts: [EnginePart]) {
        func median(_ values: [Int64]) -> Double {
            Double(values.sorted()[values.count / 2]) / 1000
        }
        engine = median(samples.engine)
        convolutions = median(samples.convolutions)
        (input, inputLimit) = (median(samples.input), median(samples.inputLimit))
        (optimizer, optimizerLimit) = (median(samples.optimizer), median(samples.optimizerLimit))
        rows = parts.indices.map { index in
            Row(
                part: parts[index], microseconds: median(samples.parts[index]),
                limit: parts[index].phase == .loss ? nil : median(samples.limits[index]))
        }
    }

    /// Returns the time that `body` takes, in nanoseconds.
    private func time(_ body: () -> Void) -> Int64 {
        let begin = SteadyClock.nanoseconds()
        body()
        return SteadyClock.nanoseconds() - begin
    }
}

/// The measured times in nanoseconds, one element for each round.
private struct StepSamples {
    var engine: [Int64] = []
    var convolutions: [Int64] = []
    var input: [Int64] = []
    var inputLimit: [Int64] = []
    var optimizer: [Int64] = []
    var optimizerLimit: [Int64] = []
    var parts: [[Int64]]
    var limits: [[Int64]]

    init(partCount: Int) {
        parts = Array(repeating: [], count: partCount)
        limits = Array(repeating: [], count: partCount)
    }
}
