extension ModelPreset {
    /// VGG-11 with batch normalisation, and one dense layer in place of three. Source: Simonyan and
    /// Zisserman, ICLR 2015, table 1, column A. The names of the features are those of torchvision,
    /// whose convolutions have biases too.
    static let vgg11BN = ModelPreset(
        "vgg11-bn", [3, 32, 32],
        "Simonyan and Zisserman, ICLR 2015: VGG-11 with batch normalisation, for images of 32 x 32."
    ) { model, _, classCount in
        var index = 0
        for step in [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0] {
            if step == 0 {
                model.add(.maxPool2D(size: Size2D(2), stride: Size2D(2)))
                index += 1
                continue
            }
            model.add(
                .conv2D(
                    filters: step, kernel: Size2D(3), padding: .cells(1), hasBias: false,
                    initializer: .heUniform), name: "features.\(index)")
            model.add(.batchNorm(), name: "features.\(index + 1)")
            model.add(.relu)
            index += 3
        }
        model.add(.globalAveragePool)
        model.add(.dense(units: classCount), name: "classifier")
    }
}
