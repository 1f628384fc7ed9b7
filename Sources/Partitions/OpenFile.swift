import SafeTensors

/// A file that is being written, as an object, because closures cannot hold a non-copyable
/// `WritableFile`.
///
/// Threading: one thread only.
final class OpenFile {
    let path: String
    private var file: WritableFile?

    /// Creates the file and replaces an existing one.
    init(path: String) throws(DataError) {
        self.path = path
        do throws(SystemCallError) { file = try WritableFile.create(path: path) } catch {
            throw DataError(writing: error)
        }
    }

    /// Appends bytes to the file.
    func write(_ bytes: [UInt8]) throws(DataError) {
        do throws(SystemCallError) { try file?.write(bytes) } catch {
            throw DataError(writing: error)
        }
    }

    /// Closes the file; nothing can be written afterwards. With `synchronizing` the contents are on
    /// the disk when this returns.
    func finish(synchronizing: Bool) throws(DataError) {
        guard let file = file.take() else { return }
        do throws(SystemCallError) { try file.finish(synchronizing: synchronizing) } catch {
            throw DataError(writing: error)
        }
    }
}
