import SafeTensors

/// A file being written, as an object: closures cannot hold a non-copyable one.
///
/// Threading: for one thread.
final class OpenFile {
    let path: String
    private var file: WritableFile?

    init(path: String) throws(DataError) {
        self.path = path
        do throws(SystemCallError) { file = try WritableFile.create(path: path) } catch {
            throw DataError(writing: error)
        }
    }

    func write(_ bytes: [UInt8]) throws(DataError) {
        do throws(SystemCallError) { try file?.write(bytes) } catch {
            throw DataError(writing: error)
        }
    }

    /// Ends the file; there is nothing to write afterwards.
    func finish(synchronizing: Bool) throws(DataError) {
        guard let file = file.take() else { return }
        do throws(SystemCallError) { try file.finish(synchronizing: synchronizing) } catch {
            throw DataError(writing: error)
        }
    }
}
