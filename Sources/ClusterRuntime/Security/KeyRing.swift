import ClusterProtocol
import Glibc
import RunFiles
import ZeroMQ

/// A keys directory: who this node is, whom it takes for the coordinator, whom it lets in.
///
/// | file | what |
/// |---|---|
/// | `node.secret`, `node.public` | this node's pair |
/// | `coordinator.public` | the key that the coordinator proves to hold |
/// | `allowed/NAME.public` | who may connect to this node |
///
/// A file holds one key, 40 characters of Z85. The secret one must be this user's alone.
package struct KeyRing: Sendable {
    package static let secretName = KeyFiles.secretName
    package static let publicName = KeyFiles.publicName
    package static let coordinatorName = KeyFiles.coordinatorName
    package static let allowedName = KeyFiles.allowedName
    package static let publicSuffix = ".public"

    package let directory: String
    package let pair: CurveKeyPair
    /// What members expect of the coordinator.
    package let coordinatorKey: String

    package var publicKey: String { pair.publicKey }
    package var allowedDirectory: String { "\(directory)/\(Self.allowedName)" }

    /// Reads a directory; the allow-list is read when a socket is to listen.
    package init(directory path: String) throws(Failure) {
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
            throw .data("\(publicPath) is not the public key of \(secretPath); copy both together")
        }
        coordinatorKey = try KeyFile.read("\(directory)/\(Self.coordinatorName)")
        _ = try AllowList(allowedDirectory)
    }

    /// The directory that `--keys` or CONVOY_KEYS names; nil without either.
    package static func given(_ option: String?) throws(Failure) -> KeyRing? {
        let variable = ProcessEnvironment.variables["CONVOY_KEYS"]
        guard let path = option ?? variable, !path.isEmpty else { return nil }
        return try KeyRing(directory: path)
    }

    /// Members look for the coordinator's key: another one would be refused by all of them.
    package func requireCoordinator() throws(Failure) {
        guard coordinatorKey != publicKey else { return }
        throw .data(
            "\(directory)/\(Self.coordinatorName) is not this node's key, so no member would take it for "
                + "the coordinator; start it on the node whose key that is, or give all nodes "
                + "\(directory)/\(Self.publicName) under that name")
    }
}

/// One key in a file.
package enum KeyFile {
    /// - Throws: one line that names the file; 65.
    package static func read(_ path: String, isSecret: Bool = false) throws(Failure) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .data(
                "cannot read \(path): \(String(cString: strerror(errno))); `convoy keygen` makes a "
                    + "keys directory")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .data("\(path) is no file")
        }
        if isSecret, !isPrivate(mode: status.st_mode, owner: status.st_uid, user: geteuid()) {
            throw .data(
                "\(path) can be read by others than its owner (mode \(octal(status.st_mode))); "
                    + "chmod 600 it, and make new keys if someone may have read it")
        }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let key = text.trimmingSuffix { $0.isWhitespace || $0.isNewline }
        guard CurveKeyPair.isKey(String(key)) else {
            throw .data(
                "\(path) holds no key: expected \(CurveKeyPair.keyCharacterCount) characters of Z85 "
                    + "text, found \(max(0, count)) bytes")
        }
        return String(key)
    }

    /// Whether a secret is this user's alone. One that root owns and hands to a user by the group of
    /// the file, as Kubernetes does with a secret and `fsGroup`, may be read by that group.
    package static func isPrivate(mode: mode_t, owner: uid_t, user: uid_t) -> Bool {
        let isHandedOver = owner == 0 && user != 0
        return mode & (isHandedOver ? 0o037 : 0o077) == 0
    }

    /// Whoever can write the directory can let anyone in; on a mount that is read-only nobody can.
    package static func requireProtected(_ directory: String) throws(Failure) {
        var status = stat()
        guard stat(directory, &status) == 0 else {
            throw .data(
                "cannot read keys directory \(directory): \(String(cString: strerror(errno))); `convoy "
                    + "keygen --output \(directory)` makes one")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .data("\(directory) is no directory") }
        if status.st_mode & 0o022 != 0, !isReadOnly(directory) {
            throw .data(
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
