import ClusterProtocol
import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

@Suite struct RunKeysTests {
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/keys"
    }

    @Test func takenUpOrMade() throws {
        let (made, fault) = try RunKeys.obtain(path)
        #expect(fault == nil && made.directory == path)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o7777 == 0o700)
        let (again, nothing) = try RunKeys.obtain(path)
        #expect(nothing == nil && again.publicKey == made.publicKey)
    }

    /// Keys that others may have read, or that are damaged, are replaced.
    @Test(arguments: [
        "others may enter", "others may read", "a link", "a secret is gone", "another coordinator",
        "somebody else's",
    ])
    func madeAnew(what: String) throws {
        let former = try RunKeys.obtain(path).keys.publicKey
        switch what {
        case "others may enter": chmod(path, 0o711)
        case "others may read": chmod("\(path)/node.secret", 0o644)
        case "a link":
            rename(path, "\(path)-elsewhere")
            symlink("\(path)-elsewhere", path)
        case "a secret is gone": unlink("\(path)/node.secret")
        case "another coordinator":
            let key = String(repeating: "0", count: 40)
            try directory.write(Array(key.utf8), "keys/coordinator.public")
        default: guard chown(path, 64017, 64017) == 0 else { return }
        }
        let (keys, fault) = try RunKeys.obtain(path)
        #expect(fault != nil)
        #expect(keys.publicKey != former)
        #expect(try RunKeys.obtain(path).fault == nil)
        if what == "a link" {
            let kept = try KeyRing(directory: "\(path)-elsewhere")
            #expect(kept.publicKey == former, "what a link leads to is not touched")
        }
    }

    /// Files that others may have put there are not touched, nor is the target of a link.
    @Test func whatWasThereIsPutAside() throws {
        mkdir("\(directory.path)/home", 0o700)
        try directory.write([1], "home/thesis.txt")
        mkdir(path, 0o755)
        symlink("\(directory.path)/home", "\(path)/allowed")
        #expect(try RunKeys.obtain(path).fault?.contains("mode 755") == true)
        let aside = FileSystem.names(in: directory.path).filter { $0.hasPrefix("keys.replaced-") }
        #expect(aside.count == 1)
        #expect(FileSystem.exists("\(directory.path)/home/thesis.txt"))
        #expect(try RunKeys.obtain(path).fault == nil)
    }

    /// A run directory in which no run began is removed with its keys.
    @Test func goneWithAnUnusedRunDirectory() throws {
        let run = RunDirectory("\(directory.path)/run")
        try run.create()
        _ = try RunKeys.obtain(run.keys)
        run.removeIfUnused(wasThere: false)
        #expect(!FileSystem.exists(run.path))
    }

    /// Other processes must not try the keys of a run that goes on without them.
    @Test func keysOfARunThatIsOpenedUpAreRemoved() throws {
        let run = RunDirectory("\(directory.path)/run")
        try FileSystem.makeDirectories(run.path)
        _ = try RunKeys.obtain(run.keys)
        #expect(try RunKeys.existing(run) != nil)
        #expect(RunKeys.publish(Transport(), of: run, warn: { _ in }) == nil)
        #expect(access(run.keys, F_OK) != 0)
        #expect(try RunKeys.existing(run) == nil)
    }
}
