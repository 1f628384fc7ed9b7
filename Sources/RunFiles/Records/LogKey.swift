/// The keys of log metadata. They stand in one place so that tools can rely on them.
public enum LogKey {
    /// The text of an error.
    public static let errorDetail = "error.detail"
    /// The exit code of a process.
    public static let exitCode = "exit.code"
    /// The identity of a process.
    public static let peerID = "peer.id"
    /// The name of a process for people, for instance "worker 2".
    public static let peerName = "peer.name"
    /// The network address of a process.
    public static let peerAddress = "peer.address"
    /// The host of a process.
    public static let peerHost = "peer.host"
    /// The process identifier of a process.
    public static let peerProcess = "peer.pid"
    /// The identifier of a run.
    public static let runID = "run.id"
    /// The generation of the membership.
    public static let generation = "cluster.generation"
    /// The number of the placement of shards on processes.
    public static let placement = "cluster.placement"
    /// The step, or the version of the weights.
    public static let step = "train.step"
    /// The virtual workers concerned.
    public static let virtualWorkers = "train.virtual-workers"
    /// The shards concerned.
    public static let shards = "server.shards"
    /// The instruction set that the workers compute with.
    public static let instructionSet = "compute.instruction-set"
    /// The endpoint of a socket.
    public static let endpoint = "net.endpoint"
    /// The number of bytes that a process sent.
    public static let sentByteCount = "net.sent-bytes"
    /// The number of bytes that a process received.
    public static let receivedByteCount = "net.received-bytes"
    /// The number of sums of other workers that a worker passed on to their shards as a relay.
    public static let relayed = "train.relayed"
    /// The cores that a process is bound to.
    public static let cores = "host.cores"
    /// The number of messages that came through a pipe of the host instead of a socket.
    public static let piped = "net.piped"
    /// The number of contributions that a worker sent.
    public static let contributions = "train.contributions"
    /// The reason for what the line reports.
    public static let reason = "reason"
    /// The path of a file.
    public static let path = "file.path"
    /// The training records concerned.
    public static let records = "data.records"
    /// The partition concerned.
    public static let partition = "data.partition"
    /// The time that compute threads waited for data in an epoch, in milliseconds.
    public static let dataWait = "data.wait-ms"
    /// The share of that wait in the time of the compute threads, in percent.
    public static let dataWaitPercent = "data.wait-percent"
    /// The time in which compute threads fetched partitions in an epoch, and loaded or checked them,
    /// in milliseconds. It is no part of the wait.
    public static let dataOpening = "data.open-ms"
    /// The epoch, counted from 0.
    public static let epoch = "train.epoch"
}
