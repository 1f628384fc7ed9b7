extension ModelPreset {
    /// Source: LeCun, Bottou, Bengio, Haffner, Proceedings of the IEEE 1998. Means have no trained
    /// factors here, the second convolution reads every map, and a dense layer stands in place of
    /// the radial basis functions.
    static let lenet5 = ModelPreset(
        "lenet5", [1, 28, 28], "LeCun et al., 1998: LeNet-5, with tanh and means."
    ) { model, inputShape, classCount in
        // Images of 28 x 28 are padded to the 32 x 32 of the paper.
        let padding: Padding = inputShape.last == 28 ? .cells(2) : .valid
        let two = Size2D(2)
        model.add(.conv2D(filters: 6, kernel: Size2D(5), padding: padding))
        model.add(.tanh)
        model.add(.averagePool2D(size: two, stride: two))
        model.add(.conv2D(filters: 16, kernel: Size2D(5)))
        model.add(.tanh)
        model.add(.averagePool2D(size: two, stride: two))
        model.add(.flatten)
        model.add(.dense(units: 120))
        model.add(.tanh)
        model.add(.dense(units: 84))
        model.add(.tanh)
        model.add(.dense(units: classCount))
    }
}
