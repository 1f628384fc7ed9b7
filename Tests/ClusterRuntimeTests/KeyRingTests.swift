import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

@Suite struct KeyRingTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

    private func mode(_ name: String) -> mode_t {
        var status = stat()
        return stat(path(name), &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    @Test func oneDirectoryForAll() throws {
        umask(0)
        defer { umask(0o022) }
        try KeyGenerator(output: path("a/keys"), present: .refuse).makeShared()
        for name in ["node.secret", "node.public", "coordinator.public", "allowed/node.public"] {
            #expect(mode("a/keys/\(name)") == 0o600, "\(name)")
        }
        #expect(mode("a/keys") == 0o700 && mode("a/keys/allowed") == 0o700)
        let ring = try KeyRing(directory: path("a/keys"))
        try ring.requireCoordinator()
        #expect(try AllowList(path("a/keys/allowed")).keys == [ring.publicKey])
        let secret = try directory.text("a/keys/node.secret")
        let text = failure {
            try KeyGenerator(output: path("a/keys"), present: .refuse).makeShared()
        }
        #expect(text?.text.contains("--overwrite") == true && text?.kind == .keys)
        #expect(try directory.text("a/keys/node.secret") == secret)
        try KeyGenerator(output: path("a/keys"), present: .overwrite).makeShared()
        #expect(try directory.text("a/keys/node.secret") != secret)
        #expect(try AllowList(path("a/keys/allowed")).names.count == 1)
    }

    @Test func aDirectoryANode() throws {
        let made = try KeyGenerator(output: path("k"), present: .refuse).make(nodes: ["a", "b"])
        #expect(made == ["a", "b"])
        let first = try KeyRing(directory: path("k/a"))
        let second = try KeyRing(directory: path("k/b"))
        try first.requireCoordinator()
        #expect(failure { try second.requireCoordinator() }?.kind == .keys)
        #expect(first.publicKey != second.publicKey)
        let added = try KeyGenerator(output: path("k"), present: .keep).make(nodes: ["b", "c"])
        #expect(added == ["c"])
        #expect(try KeyRing(directory: path("k/b")).publicKey == second.publicKey)
        let third = try KeyRing(directory: path("k/c"))
        for name in ["a", "b", "c"] {
            let list = try AllowList(path("k/\(name)/allowed"))
            #expect(
                list.names == [first.publicKey: "a", second.publicKey: "b", third.publicKey: "c"])
            #expect(try directory.text("k/\(name)/coordinator.public") == first.publicKey + "\n")
        }
        for names in [["a", "a"], ["../x"], [""], [".hidden"], ["a/b"], []] {
            let found = failure {
                try KeyGenerator(output: path("n"), present: .refuse).make(nodes: names)
            }
            #expect(found?.kind == .usage, "\(names)")
        }
        #expect(!FileSystem.exists(path("n")))
    }

    @Test func whatIsWrongWithADirectory() throws {
        func broken(_ mentions: String..., by damage: () throws -> Void) throws {
            try KeyGenerator(output: path("k"), present: .overwrite).makeShared()
            chmod(path("k"), 0o700)
            _ = try KeyRing(directory: path("k"))
            try damage()
            let found = failure { try KeyRing(directory: path("k")) }
            #expect(found?.kind == .keys)
            for mention in mentions {
                #expect(found?.text.contains(mention) == true, "\(found?.text ?? "no failure")")
            }
        }
        for bits: mode_t in [0o640, 0o604, 0o660] {
            try broken("node.secret", "chmod 600") { chmod(path("k/node.secret"), bits) }
        }
        try broken("allowed", "chmod 700") { chmod(path("k/allowed"), 0o777) }
        chmod(path("k/allowed"), 0o700)
        try broken("/k ", "chmod 700") { chmod(path("k"), 0o770) }
        try broken("node.secret") { unlink(path("k/node.secret")) }
        try broken("coordinator.public") { unlink(path("k/coordinator.public")) }
        try broken("node.secret", "expected 40") { try directory.write([1, 2], "k/node.secret") }
        try broken("node.public", "expected 40") {
            try directory.append("more", "k/node.public")
        }
        try broken("allowed/x.public", "expected 40") { try directory.write([], "k/allowed/x.public") }
        try broken("node.public is not") {
            try KeyGenerator(output: path("other"), present: .overwrite).makeShared()
            try directory.write(directory.read("other/node.public"), "k/node.public")
        }
        let none = failure { try KeyRing(directory: path("nowhere")) }
        #expect(none?.text.contains("keygen") == true)
        // A refusal never shows the secret.
        let secret = try directory.text("other/node.secret").prefix(40)
        try directory.append("x", "other/node.secret")
        #expect(failure { try KeyRing(directory: path("other")) }?.text.contains(secret) == false)
    }

    /// Modes of a secret file: the user's own, root's for a user in its group, and another user's.
    @Test(
        arguments: [
            (0o600, true, true), (0o400, true, true), (0o440, false, true),
            (0o640, false, true), (0o660, false, false), (0o444, false, false),
            (0o604, false, false), (0o470, false, false),
        ] as [(mode_t, Bool, Bool)])
    func whoMayReadASecret(_ mode: mode_t, _ own: Bool, _ handedOver: Bool) {
        #expect(KeyFile.isPrivate(mode: mode, owner: 1000, user: 1000) == own)
        #expect(KeyFile.isPrivate(mode: mode, owner: 0, user: 0) == own)
        #expect(KeyFile.isPrivate(mode: mode, owner: 0, user: 1000) == handedOver)
        // A file of another user, which root or a group may read.
        #expect(KeyFile.isPrivate(mode: mode, owner: 1001, user: 1000) == own)
    }

    @Test func changesOfTheAllowList() throws {
        _ = try KeyGenerator(output: path("k"), present: .refuse).make(nodes: ["a", "b"])
        let first = try KeyRing(directory: path("k/a")).publicKey
        let second = try KeyRing(directory: path("k/b")).publicKey
        let list = try AllowList(path("k/a/allowed"))
        #expect(list.refresh() == nil)
        unlink(path("k/a/allowed/b.public"))
        let removed = try #require(list.refresh())
        #expect(removed.removed == [second] && removed.added == [] && removed.faults.isEmpty)
        #expect(list.keys == [first])
        try directory.write(Array("half of a k".utf8), "k/a/allowed/b.public")
        let torn = try #require(list.refresh())
        #expect(torn.added == [] && torn.removed == [] && torn.faults.count == 1)
        try directory.write(Array("\(second)\n".utf8), "k/a/allowed/b.public")
        #expect(list.refresh()?.added == [second])
        #expect(list.refresh() == nil)
        try directory.write([0], "k/a/allowed/notes.txt")
        #expect(list.refresh() == nil)
    }
}
