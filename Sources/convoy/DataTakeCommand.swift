import ArgumentParser
import ClusterProtocol
import Partitions
import RunFiles

/// The command `convoy data take`, which shows the first records of a data set.
struct DataTakeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "take", abstract: "Show the first records, and write them as files.",
        discussion: """
            For instance:
              convoy data take --config photos.yaml -n 8 --augmented 1 --output augmented
            Records come in the order in which they are stored. Bytes in 1 or 3 channels are \
            written as PNG, all other records as NPY.
            """)

    @OptionGroup var data: DataSourceArgument

    @Option(name: .customShort("n"), help: "Number of records.")
    var count = 8

    @Option(help: "training or test.")
    var split = "training"

    @Option(
        help:
            "Show training records as this epoch, counted from 1, sees them, by --config."
    )
    var augmented: Int?

    @Option(help: "Write each record into this directory, which does not exist yet or is empty.")
    var output: String?

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let split = try check()
            let source = try data.source()
            if augmented != nil, !source.hasFile {
                throw .usage(
                    "--augmented: expected --config FILE with it, whose transformations are applied"
                )
            }
            let set = try source.open()
            let samples = try samples(set, split, source.configuration)
            let listing = try source.listing(try source.facts(of: set))
            let isListed = listing.recordCount(split) == set.description.recordCount(split)
            if let output { try write(samples, split, to: output) }
            var table = TextTable([
                ("record", .right), ("label", .right), ("class", .left), ("min", .right),
                ("mean", .right), ("max", .right), ("name", .left),
            ])
            for sample in samples {
                let label =
                    sample.label.map { "\($0)" }
                    ?? sample.targets.map { "\($0)" }.joined(separator: ",")
                table.add([
                    "\(sample.record)", label,
                    sample.label.map { set.description.className($0) } ?? "",
                    NumberText.fixed(sample.minimum, 3), NumberText.fixed(sample.mean, 3),
                    NumberText.fixed(sample.maximum, 3),
                    isListed ? listing.name(split, stored: sample.record) ?? "" : "",
                ])
            }
            for line in table.lines { Terminal.show(line) }
            return ExitCode.done
        }
    }

    /// Refuses flags that are out of range or contradict one another.
    private func check() throws(RunError) -> DataSplit {
        guard (1...10_000).contains(count) else {
            throw .usage("-n: expected a whole number from 1 to 10000, found \(count)")
        }
        guard let split = DataSplit(rawValue: split) else {
            throw .usage("--split: expected training or test, found \(split)")
        }
        if let augmented {
            guard (1...1_000_000).contains(augmented) else {
                throw .usage(
                    "--augmented: expected a whole number from 1 to 1000000, found \(augmented)")
            }
            guard split == .training else {
                throw .usage(
                    "--augmented: expected --split training, since test records are not augmented"
                )
            }
        }
        return split
    }

    private func samples(
        _ set: DataSet, _ split: DataSplit, _ configuration: RunConfiguration
    ) throws(RunError) -> [RecordSample] {
        do throws(DataError) {
            guard let augmented else { return try set.samples(split, count: count) }
            let transformations = configuration.data.transformations
            if transformations.contains(where: \.mixesLabels) {
                Terminal.warn(
                    "records are mixed with one another here; training mixes those of a microbatch")
            }
            return try set.samples(
                count: count, transformations: transformations,
                augmentation: AugmentationKey(
                    seed: configuration.training.seed, epoch: augmented - 1))
        } catch {
            throw RunError(error)
        }
    }

    private func write(
        _ samples: [RecordSample], _ split: DataSplit, to directory: String
    ) throws(RunError) {
        try FileSystem.makeDirectories(directory)
        guard FileSystem.names(in: directory).isEmpty else {
            throw .storage(
                "\(directory): expected an empty directory to write to, found files; give another "
                    + "directory or remove it")
        }
        for sample in samples {
            let digits = "\(sample.record)"
            let padding = String(repeating: "0", count: max(0, 5 - digits.count))
            try FileSystem.write(
                sample.file,
                to: "\(directory)/\(split.rawValue)-\(padding)\(digits).\(sample.ending)",
                durably: false)
        }
    }
}
