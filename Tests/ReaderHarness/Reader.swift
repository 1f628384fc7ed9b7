/// A reader of bytes from outside, as a closure: it takes or refuses any bytes.
///
/// The fuzzer and the ordinary tests call the same closures. The process around a reader notices a
/// trap, a hang or too much memory; any other fault is a ``ReaderFlaw``.
package struct Reader: Sendable {
    package enum Outcome: Sendable {
        /// The bytes are in the reader's format.
        case taken
        case refused
    }

    package let name: String
    /// What reads the bytes, for people.
    package let about: String
    /// The longest input that a fuzzer needs to try, in bytes.
    package let maximumByteCount: Int
    /// Inputs to begin with, which the reader must take. The package's own writers make them, so
    /// that they follow the formats.
    package let seeds: [[UInt8]]
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

    /// Reads bytes from outside.
    ///
    /// - Throws: when a property of the reader does not hold for these bytes.
    package func read(_ bytes: UnsafeRawBufferPointer) throws(ReaderFlaw) -> Outcome {
        do { return try body(bytes) } catch let flaw as ReaderFlaw { throw flaw } catch {
            return .refused
        }
    }

    package func read(_ bytes: [UInt8]) throws(ReaderFlaw) -> Outcome {
        var result: Result<Outcome, ReaderFlaw> = .success(.refused)
        bytes.withUnsafeBytes { buffer in
            do throws(ReaderFlaw) { result = .success(try read(buffer)) } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    /// All readers, ordered by name.
    package static let all: [Reader] =
        (Reader.ofMessages + ofFiles + ofSettings + ofSources + ofRecords + machines)
        .sorted { $0.name < $1.name }
}

/// A property of a reader that does not hold for some bytes.
package struct ReaderFlaw: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }

    /// - Throws: when the values differ.
    static func require<Value: Equatable>(
        _ found: Value, equals expected: Value, _ what: String
    ) throws(ReaderFlaw) {
        guard found != expected else { return }
        throw ReaderFlaw("\(what): expected \(expected), found \(found)")
    }

    static func require(_ condition: Bool, _ what: @autoclosure () -> String) throws(ReaderFlaw) {
        guard condition else { throw ReaderFlaw(what()) }
    }

    /// Requires that the package reads what it has written.
    static func reread<Value>(_ what: String, _ body: () throws -> Value) throws(ReaderFlaw)
        -> Value
    {
        do { return try body() } catch {
            throw ReaderFlaw("\(what): what was written is refused: \(error)")
        }
    }
}
