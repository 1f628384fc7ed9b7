import Glibc
import Testing
import ZeroMQ

@Suite struct HostileBytesTests {
    /// Connects to a port of this machine and writes bytes that are not ZMTP.
    private func throwBytes(_ bytes: [UInt8], at port: UInt16, waitingMilliseconds: UInt32) throws {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(number >= 0)
        defer { close(number) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0)
        // The other side may hang up before all bytes are written.
        _ = send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        usleepMilliseconds(waitingMilliseconds)
    }

    /// Returns the next message from `identity`. Without CURVE libzmq takes noise that looks like
    /// ZMTP 1.0 for a peer and hands its bytes over as messages, so receivers, as here, must skip
    /// them.
    private func nextMessage(
        of router: borrowing Socket, from identity: String
    ) throws -> [Frame]? {
        while let frames = try router.receive(within: limit) {
            if frames[0].text == identity { return frames }
        }
        return nil
    }

    @Test func garbageDoesNoHarmWhileARealPeerWorks() throws {
        let context = try Context()
        var options = SocketOptions()
        options.maximumMessageByteCount = 1 << 20
        options.handshakeTimeout = .seconds(1)
        let router = try Socket(context, .router, options: options)
        let endpoint = try router.bind("tcp://127.0.0.1:*")
        let port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) })
        let monitor = try router.startMonitor()
        var dealerOptions = SocketOptions()
        dealerOptions.routingIdentity = Array("real".utf8)
        let dealer = try Socket(context, .dealer, options: dealerOptions)
        try dealer.connect(endpoint)
        var generator = SplitMix(seed: 20_240_611)
        let greeting: [UInt8] =
            [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0] + Array("NULL".utf8)
            + [UInt8](repeating: 0, count: 48)
        for round in 0..<60 {
            let noise = (0..<Int.random(in: 1...5000, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let attack =
                switch round % 4 {
                case 0: noise
                case 1: greeting + noise
                case 2: Array("GET / HTTP/1.1\r\n\r\n".utf8) + noise
                // A command or a frame that claims to have 2^62 bytes.
                default: greeting + [round % 8 < 4 ? 6 : 2, 0x40, 0, 0, 0, 0, 0, 0, 0] + noise
                }
            try throwBytes(attack, at: port, waitingMilliseconds: UInt32(round % 3))
            #expect(try dealer.send([Frame("question \(round)")], within: limit) == .sent)
            let frames = try #require(try nextMessage(of: router, from: "real"))
            #expect(frames.last?.text == "question \(round)")
            #expect(try router.send([frames[0], Frame("answer \(round)")]) == .sent)
            let answer = try dealer.receive(within: limit)
            #expect(answer?.first?.text == "answer \(round)")
        }
        var failureCount = 0
        while let event = monitor.nextEvent(within: .milliseconds(50)) {
            if case .handshakeFailed(let reason) = event.kind {
                failureCount += 1
                #expect(!"\(reason)".isEmpty)
            }
        }
        #expect(failureCount > 0)
    }
}

/// A small random generator whose seed makes a failure repeatable.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
