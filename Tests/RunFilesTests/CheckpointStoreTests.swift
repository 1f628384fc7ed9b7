import ClusterProtocol
import FoundationEssentials
import Glibc
import NeuralNetwork
import RunFiles
import TestSupport
import Testing

@Suite struct CheckpointStoreTests {
    private func store(
        _ directory: TemporaryDirectory, _ material: RunMaterial, steps: [Int] = []
    ) throws -> CheckpointStore {
        let store = CheckpointStore(directory.path, material: material)
        for step in steps {
            try store.write(Sample.checkpoint(material, step: step), instructionSet: "generic")
        }
        return store
    }

    @Test(arguments: [
        OptimizerSpecification.adam(Adam()), .adamW(AdamW()), .sgd(SGD()),
        .sgd(SGD(momentum: 0.9)),
    ])
    func roundTripKeepsEveryBit(optimizer: OptimizerSpecification) throws {
        let directory = try TemporaryDirectory()
        let material = try Sample.material(optimizer: optimizer)
        let written = Sample.checkpoint(material, step: 12)
        let store = try store(directory, material, steps: [12])
        let read = try store.read(step: 12)
        #expect(read.step == 12)
        #expect(read.parts.count == 1 + optimizer.stateNames.count)
        #expect(Sample.bits(read) == Sample.bits(written))
        let state = try CheckpointReader.state(store.path(step: 12))
        #expect(state.step == 12 && state.optimizer == optimizer.name)
        #expect(state.weightsSHA256 == written.weightsSHA256)
        #expect(state.instructionSet == "generic" && state.backend == "reference")
        #expect(state.modelFingerprint == material.network.fingerprint)
        // 200 records in batches of 64 make four steps an epoch.
        #expect(state.epoch == 3 && state.stepInEpoch == 0)
    }

    @Test func namesSortByNumber() {
        #expect(CheckpointStore.name(step: 7) == "step-00000007")
        #expect(CheckpointStore.name(step: 123_456_789) == "step-123456789")
        #expect(CheckpointStore.step(name: "step-00000007") == 7)
        for name in ["step-00000007.tmp", "step-", "step-x", "7", "model.safetensors"] {
            #expect(CheckpointStore.step(name: name) == nil, "\(name)")
        }
    }

    @Test func newestIsDecidedByNumber() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory, Sample.material(), steps: [30, 4, 20])
        #expect(CheckpointStore.steps(in: directory.path) == [4, 20, 30])
        #expect(store.newest()?.checkpoint.step == 30)
        #expect(store.newest()?.skipped == [])
    }

    @Test func anEmptyDirectoryHasNoNewest() throws {
        let directory = try TemporaryDirectory()
        #expect(try store(directory, Sample.material()).newest() == nil)
        let absent = CheckpointStore("\(directory.path)/absent", material: try Sample.material())
        #expect(absent.newest() == nil)
    }

    /// A file cut at many lengths, or with one bit flipped, is refused by name, and the older
    /// checkpoint is taken.
    @Test(arguments: ["model.safetensors", "optimizer.safetensors", "state.json"])
    func tornFilesAreRefusedByName(name: String) throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory, Sample.material(), steps: [1, 2])
        let file = "step-00000002/\(name)"
        let good = try directory.read(file)
        for tenth in 0..<10 {
            try directory.write(Array(good[..<(good.count * tenth / 10)]), file)
            try expectFallBack(store, naming: name)
        }
        try directory.write(good, file)
        #expect(store.newest()?.checkpoint.step == 2)
        guard name != "state.json" else { return }
        for position in stride(from: 0, to: good.count, by: good.count / 23) {
            var bytes = good
            bytes[position] ^= 1 << UInt8(position % 8)
            try directory.write(bytes, file)
            try expectFallBack(store, naming: name)
        }
        try directory.write(good + [0], file)
        try expectFallBack(store, naming: name)
        #expect(unlink("\(directory.path)/\(file)") == 0)
        try expectFallBack(store, naming: name, .storage)
    }

    private func expectFallBack(
        _ store: CheckpointStore, naming name: String, _ kind: RunError.Kind = .checkpoint
    ) throws {
        let failure = failure { try store.read(step: 2) }
        #expect(failure?.kind == kind)
        #expect(failure?.text.contains("step-00000002/\(name)") == true, "\(failure?.text ?? "")")
        let newest = try #require(store.newest())
        #expect(newest.checkpoint.step == 1)
        #expect(newest.skipped.map(\.text) == [failure?.text])
    }

    @Test func aCheckpointOfAnotherModelIsRefused() throws {
        let directory = try TemporaryDirectory()
        _ = try store(directory, Sample.material(units: 10), steps: [3])
        let other = CheckpointStore(directory.path, material: try Sample.material(units: 11))
        let failure = failure { try other.read(step: 3) }
        #expect(failure?.kind == .checkpoint)
        #expect(failure?.text.contains("it holds model tiny") == true, "\(failure?.text ?? "")")
        #expect(other.newest() == nil)
    }

    @Test func aCheckpointOfAnotherOptimizerIsRefused() throws {
        let directory = try TemporaryDirectory()
        _ = try store(directory, Sample.material(optimizer: .sgd(SGD())), steps: [3])
        let other = CheckpointStore(directory.path, material: try Sample.material())
        let failure = failure { try other.read(step: 3) }
        #expect(failure?.kind == .checkpoint)
        #expect(failure?.text.contains("optimizer.name sgd") == true, "\(failure?.text ?? "")")
    }

    @Test func aCheckpointUnderAnotherNameIsRefused() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory, Sample.material(), steps: [3])
        try directory.copy("step-00000003", to: "step-00000009")
        let failure = failure { try store.read(step: 9) }
        #expect(failure?.text.contains("expected the state of step 9, found 3") == true)
        #expect(store.newest()?.checkpoint.step == 3)
    }

    @Test func pruneKeepsTheLastAndWhatItIsTold() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory, Sample.material(), steps: [1, 2, 3, 4, 5, 6])
        store.prune(keeping: [2])
        #expect(CheckpointStore.steps(in: directory.path) == [2, 4, 5, 6])
        store.prune()
        #expect(CheckpointStore.steps(in: directory.path) == [4, 5, 6])
        #expect(store.newest()?.checkpoint.step == 6)
    }

    /// The process was killed after all was written, before the rename: the older checkpoint is the
    /// newest, and the rest is removed.
    @Test func aCrashBeforeTheRenameLeavesTheOlderWhole() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory, Sample.material(), steps: [1, 2])
        #expect(rename(store.path(step: 2), "\(store.path(step: 2)).tmp") == 0)
        let newest = try #require(store.newest())
        #expect(newest.checkpoint.step == 1 && newest.skipped.isEmpty)
        store.prune()
        #expect(FileSystem.names(in: directory.path) == ["step-00000001"])
    }

    @Test func whatAnEarlierCrashLeftIsWrittenOver() throws {
        let directory = try TemporaryDirectory()
        let material = try Sample.material()
        let store = try store(directory, material, steps: [2])
        try FileSystem.makeDirectories("\(directory.path)/step-00000002.tmp")
        try directory.write([1, 2, 3], "step-00000002.tmp/model.safetensors")
        try directory.write([1, 2, 3], "step-00000002/optimizer.safetensors")
        #expect(store.newest() == nil)
        // Step 2 is written again after going back: the name now holds the new content.
        try store.write(Sample.checkpoint(material, step: 2), instructionSet: "generic")
        #expect(FileSystem.names(in: directory.path) == ["step-00000002"])
        let read = try store.read(step: 2)
        #expect(Sample.bits(read) == Sample.bits(Sample.checkpoint(material, step: 2)))
    }

    @Test func aDirectoryThatCannotBeWrittenIsNamed() throws {
        let directory = try TemporaryDirectory()
        try directory.write([], "file")
        let material = try Sample.material()
        let store = CheckpointStore("\(directory.path)/file/checkpoints", material: material)
        let failure = failure {
            try store.write(Sample.checkpoint(material, step: 1), instructionSet: "generic")
        }
        #expect(failure?.kind == .storage)
        #expect(failure?.text.contains("\(directory.path)/file") == true, "\(failure?.text ?? "")")
    }

    /// On a file system of 300 KiB two checkpoints of 120 KiB fit, and the third does not.
    @Test func aFullDiskLeavesNothingHalf() throws {
        let directory = try TemporaryDirectory()
        let status = mount("convoy-test", directory.path, "tmpfs", 0, "size=300k")
        guard status == 0 else {
            print("aFullDiskLeavesNothingHalf skipped: cannot mount: \(String(cString: strerror(errno)))")
            return
        }
        defer { umount(directory.path) }
        let material = try Sample.material(units: 39, side: 16)
        let store = try store(directory, material, steps: [1, 2])
        for _ in 0..<2 {
            let failure = failure {
                try store.write(Sample.checkpoint(material, step: 3), instructionSet: "generic")
            }
            #expect(failure?.kind == .storage)
            let text = failure?.text ?? "nothing was thrown"
            #expect(text.contains("No space left") && text.contains("free some space"), "\(text)")
            #expect(text.contains("step-00000003.tmp"), "\(text)")
            #expect(FileSystem.names(in: directory.path) == ["step-00000001", "step-00000002"])
        }
        #expect(store.newest()?.checkpoint.step == 2)
        #expect(store.newest()?.skipped == [])
    }
}
