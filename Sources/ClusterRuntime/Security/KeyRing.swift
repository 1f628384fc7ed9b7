import ClusterProtocol
import Glibc
import RunFiles
import ZeroMQ

/// A keys directory: a node's own keys, the coordinator's public key, and the keys of the nodes that
/// may connect.
///
/// | file | content |
/// |---|---|
/// | `node.secret`, `node.public` | this node's key pair |
/// | `coordinator.public` | the key that the coordinator proves to hold |
/// | `allowed/NAME.public` | the key of a node that may connect to this one |
///
/// A file holds one key, 40 characters of Z85. Only this user may be able to read the secret key.
package struct KeyRing: Sendable {
    /// The file of this node's secret key.
    package static let secretName = KeyFiles.secretName
    /// The file of this node's public key.
    package static let publicName = KeyFiles.publicName
    /// The file of the coordinator's public key.
    package static let coordinatorName = KeyFiles.coordinatorName
    /// The directory of the keys that may connect.
    package static let allowedName = KeyFiles.allowedName
    /// The end of the name of a public key's file.
    package static let publicSuffix = ".public"

    /// The directory's absolute path.
    package let directory: String
    /// This node's key pair.
    package let pair: CurveKeyPair
    /// The public key that members expect the coordinator to hold.
    package let coordinatorKey: String

    /// This node's public key.
    package var publicKey: String { pair.publicKey }
    /// The path of the directory with the keys that may connect.
    package var allowedDirectory: String { "\(directory)/\(Self.allowedName)" }

    /// Reads a directory, and checks its allow-list, which is read again when a socket is to listen.
    ///
    /// - Throws: `.usage` when libzmq has no CURVE, `.keys` for the first fault in the directory.
    package init(directory path: String) throws(RunError) {
        directory = FileSystem.absolute(path)
        guard LibraryVersion.hasCurve else {
            throw .usage(
                "--keys: this libzmq (\(LibraryVersion.current)) was built without CURVE; install one "
                    + "that has it (Debian's libzmq5 does)")
        }
        try KeyFile.requireProtected(directory)
        let secretPath = "\(directory)/\(Self.secretName)"
        let secret = try KeyFile.read(secretPath, isSecret: true)
        let publicPath = "\(directory)/\(Self.publicName)"
        let publicKey = try KeyFile.read(publicPath)
        do throws(ZeroMQError) {
            pair = try CurveKeyPair(publicKey: publicKey, secretKey: secret)
        } catch {
            throw .keys("\(publicPath) is not the public key of \(secretPath); copy both together")
        }
        coordinatorKey = try KeyFile.read("\(directory)/\(Self.coordinatorName)")
        _ = try AllowList(allowedDirectory)
    }

    /// Reads the directory that `--keys` or CONVOY_KEYS names; returns nil without either.
    package static func given(_ option: String?) throws(RunError) -> KeyRing? {
        let variable = ProcessEnvironment.variables["CONVOY_KEYS"]
        guard let path = option ?? variable, !path.isEmpty else { return nil }
        return try KeyRing(directory: path)
    }

    /// Throws when the coordinator's key is not this node's own: all members would refuse this node as
    /// the coordinator.
    package func requireCoordinator() throws(RunError) {
        guard coordinatorKey != publicKey else { return }
        throw .keys(
            "\(directory)/\(Self.coordinatorName) is not this node's key, so no member would take it for "
                + "the coordinator; start it on the node whose key that is, or give all nodes "
                + "\(directory)/\(Self.publicName) under that name")
    }
}

/// A file with one key.
package enum KeyFile {
    /// Reads the key in a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - isSecret: Whether the key is secret, so that no other user may be able to read the file.
    /// - Throws: `.keys`, with a line that names the file.
    package static func read(_ path: String, isSecret: Bool = false) throws(RunError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .keys(
                "cannot read \(path): \(String(cString: strerror(errno))); `convoy keygen` makes a "
                    + "keys directory")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .keys("\(path) is no file")
        }
        if isSecret, !isPrivate(mode: status.st_mode, owner: status.st_uid, user: geteuid()) {
            throw .keys(
                "\(path) can be read by others than its owner (mode \(octal(status.st_mode))); "
                    + "chmod 600 it, and make new keys if someone may have read it")
        }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let key = text.trimmingSuffix { $0.isWhitespace || $0.isNewline }
        guard CurveKeyPair.isKey(String(key)) else {
            throw .keys(
                "\(path) holds no key: expected \(CurveKeyPair.keyCharacterCount) characters of Z85 "
                    + "text, found \(max(0, count)) bytes")
        }
        return String(key)
    }

    /// Returns whether only one user can read a secret with this mode and owner.
    ///
    /// A secret that root owns may also be readable by its group: Kubernetes hands a secret with
    /// `fsGroup` to a user in that way.
    package static func isPrivate(mode: mode_t, owner: uid_t, user: uid_t) -> Bool {
        let isHandedOver = owner == 0 && user != 0
        return mode & (isHandedOver ? 0o037 : 0o077) == 0
    }

    /// Throws when other users can write a directory, since they could let any node in. A directory on
    /// a read-only mount cannot be written.
    package static func requireProtected(_ directory: String) throws(RunError) {
        var status = stat()
        guard stat(directory, &status) == 0 else {
            throw .keys(
                "cannot read keys directory \(directory): \(String(cString: strerror(errno))); `convoy "
                    + "keygen --output \(directory)` makes one")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .keys("\(directory) is no directory")
        }
        if status.st_mode & 0o022 != 0, !isReadOnly(directory) {
            throw .keys(
                "\(directory) can be written by others than its owner (mode "
                    + "\(octal(status.st_mode))), who could let anyone in; chmod 700 it")
        }
    }

    private static func isReadOnly(_ directory: String) -> Bool {
        var status = statvfs()
        return statvfs(directory, &status) == 0 && status.f_flag & UInt(ST_RDONLY) != 0
    }

    private static func octal(_ mode: mode_t) -> String { String(mode & 0o7777, radix: 8) }
}

extension String {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
        var result = self[...]
        while let last = result.last, predicate(last) { result = result.dropLast() }
        return result
    }
}
