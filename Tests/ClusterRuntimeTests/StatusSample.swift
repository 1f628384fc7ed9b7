import ClusterProtocol
import FoundationEssentials

/// A coordinator's answers, as they come over the wire.
enum StatusSample {
    static let member = #"""
        {"identity": "worker-2f81c09b55ab3d10", "name": "worker 1", "role": "worker", "host": "nöde",
         "processIdentifier": 77, "threadCount": 4, "state": "silent", "virtualWorkers": "0-3,7",
         "virtualWorkerCount": 5, "shards": "0", "shardCount": 1, "generation": 3, "step": 41,
         "lastHeardMilliseconds": 2345, "computeMicroseconds": 1234, "inputMicroseconds": 5,
         "waitMicroseconds": 678, "residentByteCount": 104857600, "slowPhase": "compute",
         "slowFactor": 2.25}
        """#

    static func status(
        members: String = "[\(member)]", memberCount: Int = 1
    ) throws -> ClusterStatus {
        let text = #"""
            {"run": "/runs/one", "state": "training", "step": 41, "stepCount": 9380, "epoch": 1,
             "epochCount": 10, "imagesPerSecond": 1234.5, "lossBits": 4602678819172646912,
             "evaluationChunkCount": 40, "lastCheckpoint": 0, "generation": 3,
             "instructionSet": "avx2", "heartbeatMilliseconds": 1000, "uptimeMilliseconds": 65000,
             "tally": {"takeovers": 1, "lostMembers": 2, "shardLosses": 0, "refusals": 0,
                       "rebalances": 3, "disputes": 0, "suspects": ["worker 9 on bad\u001b[2Jhost"]},
             "changes": ["step 20: data.partitions 8 -> 4"],
             "workerCount": 0, "wantedWorkerCount": 2, "serverCount": 1, "wantedServerCount": 1,
             "shardCount": 2, "missingShardCount": 1, "missingShards": "0", "firstMember": 0,
             "memberCount": \#(memberCount), "members": \#(members)}
            """#
        return try JSONDecoder().decode(ClusterStatus.self, from: Data(text.utf8))
    }
}
