import ClusterProtocol
import Partitions
import SafeTensors

extension RunError {
    /// Creates the error for an error of a data set, with its text.
    package init(_ error: DataError) {
        let kind: Kind =
            switch error.kind {
            case .unknownSource, .badSetting: .configuration
            case .unreadable, .missingPackage, .truncated, .trailingBytes, .truncatedCompression,
                .corruptCompression, .badCompressionChecksum, .wrongMagic, .sizeMismatch,
                .labelOutOfRange, .badTarget, .emptySet, .badManifest, .forbiddenPath,
                .checksumMismatch, .badPartitionFile, .badRecord, .changed:
                .data
            case .badLedgerLine: .runDirectory
            case .unwritable: .storage
            case .unreachable: .lost
            }
        self.init(kind, "\(error)")
    }

    /// Creates the error for an error of a file of weights, with its text.
    ///
    /// - Parameters:
    ///   - error: the error.
    ///   - file: the file to name before the text, where the text does not name it.
    package init(_ error: SafeTensorsError, in file: String? = nil) {
        let kind: Kind =
            switch error.kind {
            case .inputOutput: .storage
            case .truncated, .trailingBytes, .malformedHeader, .duplicateName, .unknownDataType,
                .badOffsets, .sizeMismatch, .missingTensor, .wrongDataType:
                .checkpoint
            }
        self.init(kind, file.map { "\($0): \(error)" } ?? "\(error)")
    }
}
