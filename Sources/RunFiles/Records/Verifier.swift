import ClusterProtocol
import Partitions

/// Verifies the files that a run or `convoy partition` has written.
public enum Verifier {
    /// Verifies a run directory, a checkpoint or a partitioned directory.
    ///
    /// - Returns: a line for each thing that was found to be good.
    /// - Throws: the first fault: `.checkpoint`, `.data`, or `.runDirectory` for the records of a
    ///   run and for a directory of another sort; `.storage` for a file that cannot be read.
    public static func verify(_ path: String) throws(RunError) -> [String] {
        if FileSystem.exists("\(path)/\(PartitionManifest.fileName)") {
            return [try partitions(path)]
        }
        if FileSystem.exists("\(path)/\(CheckpointStore.stateFile)") {
            return [try checkpoint(path)]
        }
        if FileSystem.exists(RunDirectory(path).configuration) { return try run(path) }
        throw .runDirectory(
            "\(path): expected a run directory (config.yaml), a checkpoint (state.json) or a "
                + "partitioned directory (manifest.json), found none of them")
    }

    private static func partitions(_ path: String) throws(RunError) -> String {
        do throws(DataError) {
            let report = try PartitionVerifier.verify(directory: path)
            return "\(path): \(report.partitionCount) partitions, \(report.byteCount) bytes, "
                + "\(report.description.trainingCount) training and "
                + "\(report.description.testCount) test records: good"
        } catch {
            throw RunError(error)
        }
    }

    private static func checkpoint(_ path: String) throws(RunError) -> String {
        let state = try CheckpointReader.state(path)
        try CheckpointReader.verify(path, state)
        let model = try CheckpointReader.model(path)
        let found = Checkpoint(step: state.step, parts: [model.weights]).weightsSHA256
        guard found == state.weightsSHA256 else {
            throw .checkpoint(
                "\(path): expected weights \(state.weightsSHA256.prefix(16))..., found "
                    + "\(found.prefix(16))...")
        }
        return "\(path): step \(state.step), \(model.network.parameters.elementCount) parameters, "
            + "weights_sha256 \(found): good"
    }

    /// Verifies every checkpoint of a run, and compares the ledger with the plan: each epoch must
    /// use each record exactly once.
    private static func run(_ path: String) throws(RunError) -> [String] {
        let directory = RunDirectory(path)
        var lines: [String] = []
        if let build = try RunFormat.read(directory).build, build != HostFacts.build {
            lines.append("\(path): written last by build \(build), this is build \(HostFacts.build)")
        }
        for step in CheckpointStore.steps(in: directory.checkpoints) {
            let name = CheckpointStore.name(step: step)
            lines.append(try checkpoint("\(directory.checkpoints)/\(name)"))
        }
        let configuration = try RunConfiguration.load(file: directory.configuration)
        let history = try JournalReader.recovery(directory).history
        let course = try RunCourse(configuration, history)
        lines.append(try ledger(directory, course))
        return lines + course.changes
    }

    private static func ledger(
        _ directory: RunDirectory, _ course: RunCourse
    ) throws(RunError) -> String {
        let text = (try? FileSystem.read(directory.ledger)) ?? []
        var checker = LedgerChecker(stretches: course.stretches)
        var count = 0
        do {
            for line in WholeLines(text).lines {
                try checker.add(LedgerEntry(line: String(decoding: line, as: UTF8.self)))
                count += 1
            }
        } catch let difference as LedgerChecker.Difference {
            throw .runDirectory(
                "\(directory.ledger): step \(difference.step), \(difference.what): expected "
                    + "\(difference.expected), found \(difference.found)")
        } catch {
            throw .runDirectory("\(error)")
        }
        let epochs = checker.completeEpochCount
        return "\(directory.ledger): \(count) steps, \(epochs) whole epochs, each of the "
            + "\(course.recordCount) records exactly once an epoch: good"
    }
}
