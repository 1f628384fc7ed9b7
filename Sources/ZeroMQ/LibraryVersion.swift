import CZeroMQ

/// A version of libzmq.
public struct LibraryVersion: Comparable, Sendable, CustomStringConvertible {
    public let major: Int
    public let minor: Int
    public let patch: Int

    public init(major: Int, minor: Int, patch: Int) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// The version of the libzmq this process runs with (not the one it was compiled against).
    public static var current: LibraryVersion {
        var major: Int32 = 0
        var minor: Int32 = 0
        var patch: Int32 = 0
        zmq_version(&major, &minor, &patch)
        return LibraryVersion(major: Int(major), minor: Int(minor), patch: Int(patch))
    }

    /// The oldest version this module works with: handshake events and their reasons came with 4.3.
    public static let minimum = LibraryVersion(major: 4, minor: 3, patch: 0)

    /// Whether this libzmq was built with CURVE.
    public static var hasCurve: Bool { zmq_has("curve") == 1 }

    public static func < (left: LibraryVersion, right: LibraryVersion) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    public var description: String { "\(major).\(minor).\(patch)" }

    /// Throws: `ZeroMQError` with `.libraryTooOld` when this version is below `minimum`.
    public func requireSupported() throws(ZeroMQError) {
        guard self < LibraryVersion.minimum else { return }
        throw ZeroMQError(
            code: .libraryTooOld,
            operation: "use libzmq \(self), version \(LibraryVersion.minimum) is required",
            endpoint: nil, number: 0)
    }
}
