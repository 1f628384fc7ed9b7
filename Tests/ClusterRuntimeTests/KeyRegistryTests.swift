import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

@Suite struct KeyRegistryTests {
    private let directory: TemporaryDirectory
    private let path: String
    private let registry: KeyRegistry
    private let place = Endpoint("tcp://127.0.0.1:5555")!
    private let other = Endpoint("tcp://127.0.0.1:5556")!

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/registry"
        registry = KeyRegistry(path)
    }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    @Test func foundForAsLongAsItsCoordinatorIsThere() throws {
        umask(0)
        defer { umask(0o022) }
        #expect(try registry.find([place]) == nil)
        #expect(!FileSystem.exists(path), "who looks makes nothing")
        let entry = try registry.publish("/some where/keys", at: place)
        #expect(try registry.find([other, place]) == "/some where/keys")
        #expect(try registry.find([other]) == nil)
        #expect(mode(path) == 0o700 && mode(registry.file(of: place)) == 0o600)
        entry.withdraw()
        #expect(try registry.find([place]) == nil)
        #expect(FileSystem.names(in: path) == [".lock"])
    }

    /// The next coordinator at a port takes the entry over, and its predecessor's end does not
    /// remove it.
    @Test func theNextAtAPort() throws {
        let first = try registry.publish("/first", at: place)
        let second = try registry.publish("/second", at: place)
        #expect(try registry.find([place]) == "/second")
        first.withdraw()
        #expect(try registry.find([place]) == "/second")
        second.withdraw()
        #expect(try registry.find([place]) == nil)
    }

    /// The kernel releases a dead process's lock, but the file stays.
    @Test func whatTheDeadHaveLeftCountsForNothing() throws {
        let file = registry.file(of: place)
        var entry: KeyRegistry.Entry? = try registry.publish("/dead", at: place)
        rename(file, "\(directory.path)/kept")
        entry?.withdraw()
        entry = nil
        rename("\(directory.path)/kept", file)
        #expect(FileSystem.exists(file))
        #expect(try registry.find([place]) == nil)
        let living = try registry.publish("/living", at: other)
        #expect(!FileSystem.exists(file), "swept away")
        #expect(try registry.find([other]) == "/living")
        living.withdraw()
    }

    @Test func waitsForACoordinator() throws {
        try KeyGenerator(output: "\(directory.path)/keys", present: .refuse).makeShared()
        var entry: KeyRegistry.Entry?
        var pauseCount = 0
        let keys = try registry.keys(at: [other, place], "there", within: .seconds(60)) { _ in
            pauseCount += 1
            if pauseCount == 3 {
                entry = try? registry.publish("\(directory.path)/keys", at: place)
            }
            return false
        }
        #expect(pauseCount == 3 && keys.directory == "\(directory.path)/keys")
        entry?.withdraw()
        let none = failure {
            try registry.keys(at: [place], "there", within: .zero) { _ in false }
        }
        #expect(none?.kind == .lost && none?.text.contains("there") == true)
        let stopped = failure {
            try registry.keys(at: [place], "there", within: .seconds(60)) { _ in true }
        }
        #expect(stopped?.kind == .interrupted)
    }

    /// Any user can make a directory of this name in /tmp.
    @Test(arguments: ["a link", "no directory", "mode 750", "mode 705", "of user 64017"])
    func onlyAPrivateDirectoryIsBelieved(what: String) throws {
        mkdir(path, 0o700)
        switch what {
        case "a link":
            rename(path, "\(path)-elsewhere")
            symlink("\(path)-elsewhere", path)
        case "no directory":
            rmdir(path)
            try directory.write([1], "registry")
        case "mode 750": chmod(path, 0o750)
        case "mode 705": chmod(path, 0o705)
        default: guard chown(path, 64017, 64017) == 0 else { return }
        }
        for found in [
            failure { _ = try registry.publish("/keys", at: place) },
            failure { _ = try registry.find([place]) },
        ] {
            #expect(found?.kind == .keys)
            #expect(found?.text.contains(what) == true, "\(found?.text ?? "no failure")")
            #expect(found?.text.contains(path) == true)
        }
    }

    @Test func placesOfAnEndpoint() {
        func places(_ text: String, _ addresses: [String] = []) -> [String] {
            KeyRegistry.places(
                of: Endpoint(text)!, resolvedTo: addresses.compactMap { NetworkAddress($0) }
            ).map { "\($0)" }
        }
        #expect(places("tcp://127.0.0.2:1") == ["tcp://127.0.0.2:1"])
        #expect(places("tcp://[::1]:1") == ["tcp://[::1]:1"])
        #expect(places("tcp://localhost:1") == ["tcp://127.0.0.1:1", "tcp://[::1]:1"])
        #expect(places("tcp://localhost:1", ["127.0.0.1"]) == ["tcp://127.0.0.1:1"])
        #expect(places("tcp://host:1", ["127.0.1.1"]) == ["tcp://127.0.1.1:1"])
        #expect(places("ipc:///tmp/x") == ["ipc:///tmp/x"])
        for text in ["tcp://10.1.2.3:1", "tcp://*:1", "tcp://host:1", "tcp://127.0.0.1:*"] {
            #expect(places(text) == [], "\(text)")
        }
        #expect(places("tcp://host:1", ["127.0.0.1", "10.1.2.3"]) == [])
        #expect(registry.file(of: Endpoint("ipc:///a/b%")!).hasSuffix("/registry/%2Fa%2Fb%25"))
    }
}
