import CZeroMQ

/// A version of libzmq.
public struct LibraryVersion: Comparable, Sendable, CustomStringConvertible {
    /// The first number of the version; it changes when the interface breaks.
    public let major: Int
    /// The second number of the version.
    public let minor: Int
    /// The third number of the version.
    public let patch: Int

    /// Creates a version from its three numbers.
    public init(major: Int, minor: Int, patch: Int) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// The version of the libzmq that this process runs with, not the one it was compiled against.
    public static var current: LibraryVersion {
        var major: Int32 = 0
        var minor: Int32 = 0
        var patch: Int32 = 0
        zmq_version(&major, &minor, &patch)
        return LibraryVersion(major: Int(major), minor: Int(minor), patch: Int(patch))
    }

    /// The oldest version that this module works with. Handshake events and their reasons came with
    /// 4.3.
    public static let minimum = LibraryVersion(major: 4, minor: 3, patch: 0)

    /// Whether this libzmq was built with CURVE.
    public static var hasCurve: Bool { zmq_has("curve") == 1 }

    /// Returns whether `left` is an older version than `right`.
    public static func < (left: LibraryVersion, right: LibraryVersion) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    /// The version as text, such as "4.3.4".
    public var description: String { "\(major).\(minor).\(patch)" }

    /// Checks that this version is at least `minimum`.
    ///
    /// - Throws: `.libraryTooOld` when it is below.
    public func requireSupported() throws(ZeroMQError) {
        guard self < LibraryVersion.minimum else { return }
        throw ZeroMQError(
            code: .libraryTooOld,
            operation: "use libzmq \(self), version \(LibraryVersion.minimum) is required",
            endpoint: nil, number: 0)
    }
}
