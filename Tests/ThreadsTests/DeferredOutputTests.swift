import Glibc
import Testing
import Threads

@Suite struct DeferredOutputTests {
    /// Returns both ends of a pipe.
    private static func pipe() throws -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(Glibc.pipe(&ends) == 0)
        return (ends[0], ends[1])
    }

    private static func output(_ descriptor: Int32, bound: Int = 1 << 20) -> DeferredOutput {
        DeferredOutput(descriptor, bound: bound, name: "test") { "(\($0) left out)\n" }
    }

    /// Returns all text from the pipe up to `end`.
    private static func readAll(_ reader: Int32, until end: String) -> String {
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !text.hasSuffix(end) {
            let count = read(reader, &buffer, buffer.count)
            guard count > 0 else { break }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return text
    }

    @Test func textsComeInOrder() throws {
        let (reader, writer) = try Self.pipe()
        defer { for end in [reader, writer] { close(end) } }
        let output = Self.output(writer)
        let texts = (0..<1000).map { "line \($0)\n" }
        for text in texts { output.write(text) }
        #expect(Self.readAll(reader, until: texts[999]) == texts.joined())
        #expect(output.flush(within: .seconds(10)))
        #expect(output.condition.leftOutCount == 0 && !output.condition.isBroken)
    }

    /// When the pipe is not read, the writer goes on at once, and what does not fit is counted
    /// where it is missing.
    @Test func whatDoesNotFitIsCounted() throws {
        let (reader, writer) = try Self.pipe()
        defer { for end in [reader, writer] { close(end) } }
        let page = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
        _ = fcntl(writer, F_SETFL, O_NONBLOCK)
        var filled = 0
        while true {
            let count = write(writer, page, page.count)
            if count < 0 { break }
            filled += count
        }
        _ = fcntl(writer, F_SETFL, 0)
        let output = Self.output(writer, bound: 100)
        // The output's thread takes the first line and hangs with it.
        output.write("first\n")
        while output.condition.stalledFor == .zero { usleep(1000) }
        for number in 0..<30 { output.write("number \(number)\n") }
        let leftOut = output.condition.leftOutCount
        #expect(leftOut == 19)
        #expect(!output.flush(within: .milliseconds(1)))
        var rest = filled
        var buffer = [UInt8](repeating: 0, count: 4096)
        while rest > 0 { rest -= read(reader, &buffer, min(rest, buffer.count)) }
        #expect(output.flush(within: .seconds(10)))
        output.write("last\n")
        let text = Self.readAll(reader, until: "last\n")
        let kept = (0..<11).map { "number \($0)\n" }.joined()
        #expect(text == "first\n\(kept)(19 left out)\nlast\n")
    }

    /// Only the newest of several replaceable texts waits.
    @Test func replaceableTextsDoNotPileUp() throws {
        let (reader, writer) = try Self.pipe()
        defer { for end in [reader, writer] { close(end) } }
        let page = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 16)
        try #require(write(writer, page, page.count) == page.count)
        let output = Self.output(writer, bound: 100)
        output.write("a", isReplaceable: false)
        while output.condition.stalledFor == .zero { usleep(1000) }
        for number in 0..<1000 { output.write("<\(number)>", isReplaceable: true) }
        output.write("end")
        #expect(output.condition.leftOutCount == 0)
        let text = Self.readAll(reader, until: "end")
        #expect(text.hasSuffix("xaend"))
    }

    /// After the reader is gone, writing costs nothing more.
    @Test func aBrokenPipeEndsTheOutput() throws {
        signal(SIGPIPE, SIG_IGN)
        let (reader, writer) = try Self.pipe()
        defer { close(writer) }
        close(reader)
        let output = Self.output(writer)
        output.write("one")
        #expect(output.flush(within: .seconds(10)))
        #expect(output.condition.isBroken)
        output.write("two")
        #expect(output.flush(within: .seconds(10)))
    }

    @Test func aMonitorWaitsNoLongerThanItMay() {
        let monitor = Monitor(1)
        #expect(monitor.wait(within: .milliseconds(5)) { $0 == 2 ? $0 : nil } == nil)
        let thread = WorkThread { monitor.change { $0 = 2 } }
        #expect(monitor.wait(within: .seconds(30)) { $0 == 2 ? $0 : nil } == 2)
        thread.join()
    }
}
