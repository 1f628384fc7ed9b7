import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Glibc
import Partitions
import RunFiles
import TestSupport
import Testing
import Threads

/// A coordinator that lost its place writes nothing more, whatever it was about to write.
@Suite struct FenceTests {
    private let directory: TemporaryDirectory
    private let run: RunDirectory

    init() throws {
        directory = try TemporaryDirectory()
        run = RunDirectory(directory.path)
        try FileSystem.makeDirectories(run.checkpoints)
    }

    private static func plan() throws -> BatchPlan {
        try BatchPlan(
            partitionRecordCounts: [20], batchSize: 8, virtualWorkerCount: 2, seed: 1)
    }

    private func recorder(_ lock: RunLock) throws -> RunRecorder {
        try RunRecorder(
            run, plan: Self.plan(), firstStep: 0, countingFrom: 0, lock: lock
        ) {}
    }

    /// Replaces the run's lock, as done with a process that cannot be ended.
    private func takeOver() throws { close(try RunLock.replace("\(run.path)/lock")) }

    private func contents() -> [String: [UInt8]] {
        var result: [String: [UInt8]] = [:]
        for folder in ["", "checkpoints/"] {
            for name in FileSystem.names(in: "\(run.path)/\(folder)") {
                result[folder + name] = try? FileSystem.read("\(run.path)/\(folder)\(name)")
            }
        }
        result["lock"] = nil
        return result
    }

    enum Write: CaseIterable {
        case steps, journal, durable, best
    }

    @Test(arguments: Write.allCases) func nothingIsWrittenAfterATakeover(_ write: Write) throws {
        let recorder = try recorder(RunLock(run))
        recorder.journal("{\"a\":1}")
        recorder.record(StepReport(step: Step(0), totals: ContributionTotals(sampleCount: 8)))
        try #require(recorder.settle(within: .seconds(30)))
        let before = contents()
        #expect(before["journal.jsonl"] == Array("{\"a\":1}\n".utf8))
        try takeOver()
        switch write {
        case .steps:
            recorder.record(StepReport(step: Step(1), totals: ContributionTotals(sampleCount: 8)))
        case .journal: recorder.journal("{\"b\":2}")
        case .durable:
            recorder.record(StepReport(step: Step(1), totals: ContributionTotals(sampleCount: 8)))
            recorder.makeDurable()
        case .best: recorder.replace(run.bestCheckpoint, with: "{}")
        }
        #expect(recorder.close(within: .seconds(30)))
        #expect(contents() == before)
        #expect(recorder.progress.isFenced)
        #expect(recorder.progress.failure?.kind == .lost)
    }

    /// The former process is already within a write, where no check helps: its bytes go into a file
    /// without a name.
    @Test func filesOfAProcessThatStillLivesAreCopied() throws {
        try directory.write(Array("{\"a\":1}\n".utf8), "journal.jsonl")
        let former = open(run.journal, O_WRONLY | O_APPEND | O_CLOEXEC)
        try #require(former >= 0)
        defer { close(former) }
        // The process that the lock names is ended, but its child holds the open file: the lock
        // stays taken, as by a process that hangs in the kernel.
        let named = try heldElsewhere(first: "sleep 600 &")
        defer { kill(-named.processIdentifier, SIGKILL) }
        var notes: [String] = []
        let lock = try RunLock(run, isResponsive: { false }, note: { notes.append($0) })
        #expect(lock.isFromALivingHolder && lock.fence.isHeld, "\(notes)")
        let recorder = try recorder(lock)
        recorder.journal("{\"b\":2}")
        #expect(recorder.settle(within: .seconds(30)))
        let late = Array("{\"late\":1}\n".utf8)
        #expect(write(former, late, late.count) == late.count)
        recorder.journal("{\"c\":3}")
        #expect(recorder.close(within: .seconds(30)))
        #expect(try directory.text("journal.jsonl") == "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n")
    }

    /// A holder that answers is left alone, and the failure names it.
    @Test func aHolderThatAnswersStays() throws {
        let holder = try heldElsewhere()
        defer { holder.stop(within: .seconds(5)) }
        let failure = #expect(throws: RunError.self) {
            _ = try RunLock(run, isResponsive: { true })
        }
        #expect(failure?.kind == .occupied)
        #expect(failure?.text.contains("at work on it (pid ") == true)
        #expect(holder.poll() == nil)
        // Without a way to ask, the holder counts as working.
        let other = #expect(throws: RunError.self) { _ = try RunLock(run) }
        #expect(other?.kind == .occupied)
    }

    /// A holder that does not answer is ended.
    @Test func aHolderThatHangsIsEnded() throws {
        let holder = try heldElsewhere()
        defer { holder.stop(within: .seconds(5)) }
        var notes: [String] = []
        let lock = try RunLock(run, isResponsive: { false }, note: { notes.append($0) })
        #expect(!lock.isFromALivingHolder && lock.fence.isHeld)
        #expect(holder.wait(within: .seconds(10)) == .signalled(9))
        #expect(notes.count == 1 && notes[0].contains("does not answer"), "\(notes)")
    }

    /// A holder on another host is never ended from here.
    @Test func aHolderOnAnotherHostStays() throws {
        let holder = try heldElsewhere(host: "elsewhere")
        defer { holder.stop(within: .seconds(5)) }
        let failure = #expect(throws: RunError.self) {
            _ = try RunLock(run, isResponsive: { false })
        }
        #expect(failure?.kind == .occupied)
        #expect(failure?.text.contains("on elsewhere") == true)
        #expect(holder.poll() == nil)
    }

    /// Starts another process that holds the lock, as a coordinator holds it.
    ///
    /// - Parameter first: a command that the shell with the lock runs before it sleeps.
    private func heldElsewhere(
        host: String = HostFacts.hostName, first: String = ""
    ) throws -> ChildProcess {
        let path = "\(run.path)/lock"
        let child = try ChildProcess(
            name: "holder", executable: "/bin/sh",
            arguments: [
                "-c", "exec 9>>\"$0\"; flock 9; \(first) echo locked; exec sleep 600", path,
            ], output: "\(directory.path)/held")
        let deadline = SteadyClock.now + .seconds(30)
        while (try? directory.text("held")) != "locked\n" {
            try #require(SteadyClock.now < deadline)
            usleep(2_000)
        }
        let start = try #require(RunLock.startTime(of: child.processIdentifier))
        let text =
            "{\"host\":\"\(host)\",\"pid\":\(child.processIdentifier),\"start\":\(start)}\n"
        try directory.write(Array(text.utf8), "lock")
        return child
    }
}

@Suite struct SilenceTests {
    private static let limit = Duration.seconds(3)

    @Test func aProcessThatGivesSignsIsWell() {
        var silence = Silence(now: .zero)
        for tick in 1...1000 {
            let found = silence.look(
                hasGivenSign: tick % 100 == 0, limit: Self.limit, now: .milliseconds(20 * tick))
            #expect(found == nil)
        }
    }

    @Test func silenceIsNoticedAfterTheLimit() {
        var silence = Silence(now: .zero)
        _ = silence.look(hasGivenSign: true, limit: Self.limit, now: .milliseconds(20))
        var noticed: Int?
        for tick in 2...1000 where noticed == nil {
            let found = silence.look(
                hasGivenSign: false, limit: Self.limit, now: .milliseconds(20 * tick))
            if found != nil { noticed = 20 * tick }
        }
        #expect(noticed == 3040)
    }

    /// Before its first sign a process may take longer, because it is being loaded.
    @Test func aProcessMayTakeItsTimeToStart() {
        var silence = Silence(now: .zero)
        var noticed: Int?
        for tick in 1...1000 where noticed == nil {
            let found = silence.look(
                hasGivenSign: false, limit: Self.limit, now: .milliseconds(20 * tick))
            if found != nil { noticed = 20 * tick }
        }
        #expect(noticed == 10_020)
    }

    /// A launcher that was stopped for an hour does not count that hour as silence.
    @Test func onesOwnSleepDoesNotCount() {
        var silence = Silence(now: .zero)
        _ = silence.look(hasGivenSign: true, limit: Self.limit, now: .milliseconds(20))
        let found = silence.look(hasGivenSign: false, limit: Self.limit, now: .seconds(3600))
        #expect(found == nil)
    }
}
