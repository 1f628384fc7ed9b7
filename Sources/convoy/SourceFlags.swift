import ArgumentParser
import ClusterProtocol
import Partitions
import RunFiles
import StrictYAML

/// The flags that say what is done to the records of a data set before they are stored.
struct SourceOptionFlags: ParsableArguments {
    @Option(
        help:
            "A run file (YAML) with options in its section data, and the source unless given."
    )
    var config: String?

    @Option(help: "Bring pictures to this size, height x width: 64x64.")
    var imageSize: String?

    /// Returns the data set with its options.
    ///
    /// - Parameters:
    ///   - text: the source; nil for that of the run file.
    ///   - name: the name of the flag or argument that gives the source.
    /// - Throws: `.usage` for a source or size that is not valid, `.configuration` for the run
    ///   file.
    func source(_ text: String?, from name: String) throws(RunError) -> ChosenData {
        guard text != nil || config != nil else {
            throw .usage("expected \(name), or --config FILE with the source in its section data")
        }
        var configuration = RunConfiguration()
        if let config { configuration = try RunConfiguration.load(file: config) }
        if let text {
            configuration.data.source = text
            if text != "union" { configuration.data.options.union = [] }
        }
        if let imageSize {
            do throws(SettingsError) {
                let size = try ImageOptions(reading: StrictValue(imageSize, flag: "--image-size"))
                configuration.data.options.image.picture.size = size.picture.size
            } catch {
                throw .usage("\(error)")
            }
        }
        do throws(DataError) {
            return ChosenData(
                configuration: configuration,
                specification: try configuration.data.specification(), hasFile: config != nil)
        } catch {
            throw text == nil ? RunError(error) : .usage("\(name): \(error)")
        }
    }
}

/// The flags of a command that takes a data set as `--data`.
struct DataSourceFlags: ParsableArguments {
    @Option(help: "Data set: \(DataSpecification.forms).")
    var data: String?

    @OptionGroup var options: SourceOptionFlags

    /// Returns the data set with its options.
    func source() throws(RunError) -> ChosenData {
        try options.source(data, from: "--data SPEC")
    }
}

/// The argument and flags of a command about a data set.
struct DataSourceArgument: ParsableArguments {
    @Argument(help: "Data set: \(DataSpecification.forms).")
    var data: String?

    @OptionGroup var options: SourceOptionFlags

    /// Returns the data set with its options.
    func source() throws(RunError) -> ChosenData { try options.source(data, from: "SPEC") }
}

/// A data set that the command line names.
struct ChosenData {
    /// The run file, or the defaults.
    let configuration: RunConfiguration
    /// The source with its options.
    let specification: DataSpecification
    /// Whether there is a run file.
    let hasFile: Bool

    /// Opens the data set, and shows progress and remarks where it is imported.
    ///
    /// - Parameter partitionCount: the number of partitions of the training records; nil for that
    ///   of the run file, or 1 for a set of fewer records.
    /// - Throws: `.data` and others for data that cannot be opened.
    func open(partitionCount: Int? = nil) throws(RunError) -> DataSet {
        try ImportDisplay.importing(specification) { (importer) throws(RunError) in
            func open(_ count: Int) throws(DataError) -> DataSet {
                try DataSet.open(specification, partitionCount: count, importer: importer)
            }
            do throws(DataError) {
                if let partitionCount { return try open(partitionCount) }
                do throws(DataError) { return try open(configuration.data.partitions) } catch {
                    // Commands that only read do not care about the number.
                    guard error.kind == .badSetting, error.file == "partitions" else { throw error }
                    return try open(1)
                }
            } catch {
                throw RunError(error)
            }
        }
    }

    /// Returns what the import noted of an open data set; nil for a set that needs no import.
    func facts(of dataSet: DataSet) throws(RunError) -> DataImport.Facts? {
        try facts(partitionCount: dataSet.partitions.count)
    }

    private func facts(partitionCount: Int) throws(RunError) -> DataImport.Facts? {
        guard specification.isCompiled, let cache = DataCache.standard else { return nil }
        do throws(DataError) {
            return try DataImport(cache: cache).find(specification, partitionCount: partitionCount)
                .flatMap(DataImport.facts)
        } catch {
            throw RunError(error)
        }
    }

    /// Lists the records by name.
    ///
    /// - Parameter facts: what the import noted; nil to look for it.
    func listing(_ known: DataImport.Facts? = nil) throws(RunError) -> RecordListing {
        var facts = known
        if facts == nil, specification.options.image.badRecords != .fail {
            facts = try self.facts(partitionCount: configuration.data.partitions)
            if facts == nil {
                Terminal.warn(
                    "records that cannot be decoded count too, as the data is not imported yet; "
                        + "convoy data inspect imports it")
            }
        }
        do throws(DataError) {
            return try RecordListing(
                specification, skipped: Set((facts?.skipped ?? [:]).keys))
        } catch {
            throw RunError(error)
        }
    }
}
