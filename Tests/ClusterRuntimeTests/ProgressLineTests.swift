import ClusterRuntime
import Testing

@Suite struct ProgressLineTests {
    private let line = ProgressLine(fields: [
        "epoch 1/100000", "step 1,234/30,000", "12,345 images/s", "loss 0.1234", "accuracy 0.9876",
        "12 min 34 s left",
    ])

    @Test func aWideTerminalShowsAll() {
        #expect(line.fitted(to: 500) == line.text)
        #expect(line.fitted(to: line.text.count + 1) == line.text)
    }

    @Test func fieldsGoFromTheRightEndAsAWhole() {
        #expect(line.fitted(to: line.text.count).hasSuffix("accuracy 0.9876"))
        #expect(
            line.fitted(to: 80)
                == "epoch 1/100000  step 1,234/30,000  12,345 images/s  loss 0.1234")
        #expect(line.fitted(to: 20) == "epoch 1/100000")
    }

    /// At any width one column stays free, and the text shown is a prefix of the line.
    @Test func everyWidth() {
        for columns in 0...120 {
            let text = line.fitted(to: columns)
            #expect(text.count <= max(0, columns - 1))
            #expect(line.text.hasPrefix(text))
        }
        #expect(line.fitted(to: 6) == "epoch")
    }
}
