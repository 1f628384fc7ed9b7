/// One reader of bytes from outside, as a closure: whatever the bytes are, it takes or refuses
/// them.
///
/// The fuzzer and the ordinary tests call the same closures. A trap, a hang or too much memory is
/// for the process around it to notice; what bytes can break besides is a ``ReaderFlaw``.
public struct Reader: Sendable {
    public enum Outcome: Sendable {
        /// The bytes are what the reader reads.
        case taken
        case refused
    }

    public let name: String
    /// What reads the bytes, for people.
    public let about: String
    /// The longest input that a fuzzer need try.
    public let maximumByteCount: Int
    /// Inputs to begin with, which must be taken; made by the package's own writers, so that they
    /// follow the formats.
    public let seeds: [[UInt8]]
    private let body: @Sendable (UnsafeRawBufferPointer) throws -> Outcome

    init(
        _ name: String, _ about: String, maximumByteCount: Int = 4096, seeds: [[UInt8]],
        _ body: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Outcome
    ) {
        self.name = name
        self.about = about
        self.maximumByteCount = maximumByteCount
        self.seeds = seeds
        self.body = body
    }

    /// - Throws: when a property of the reader does not hold for these bytes.
    public func read(_ bytes: UnsafeRawBufferPointer) throws(ReaderFlaw) -> Outcome {
        do { return try body(bytes) } catch let flaw as ReaderFlaw { throw flaw } catch {
            return .refused
        }
    }

    public func read(_ bytes: [UInt8]) throws(ReaderFlaw) -> Outcome {
        var result: Result<Outcome, ReaderFlaw> = .success(.refused)
        bytes.withUnsafeBytes { buffer in
            do throws(ReaderFlaw) { result = .success(try read(buffer)) } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    /// All readers, in the order of their names.
    public static let all: [Reader] =
        (Reader.ofMessages + ofFiles + ofSettings + ofRecords + machines)
        .sorted { $0.name < $1.name }
}

/// A property of a reader that does not hold.
public struct ReaderFlaw: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }

    /// - Throws: unless both are equal.
    static func require<Value: Equatable>(
        _ found: Value, equals expected: Value, _ what: String
    ) throws(ReaderFlaw) {
        guard found != expected else { return }
        throw ReaderFlaw("\(what): expected \(expected), found \(found)")
    }

    static func require(_ condition: Bool, _ what: @autoclosure () -> String) throws(ReaderFlaw) {
        guard condition else { throw ReaderFlaw(what()) }
    }

    /// What the package has written itself must be read.
    static func reread<Value>(_ what: String, _ body: () throws -> Value) throws(ReaderFlaw)
        -> Value
    {
        do { return try body() } catch {
            throw ReaderFlaw("\(what): what was written is refused: \(error)")
        }
    }
}
