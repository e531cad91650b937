"""Which parameters of a network remember nothing: detectors of redundancy, for attacks that look away from them.

Mnemonist (Shahin Shamsabadi, Hayes, Balle, Weller, UAI 2023) finds that ReLU networks carry redundant parameters, and that reconstruction
improves once they are left out. The paper's text beyond its abstract is not at hand; the detectors here and their thresholds are ours.

``evidence``   what an attacker holds: final weights of one network or of many shadows, the initial ones, the known images
``verdict``    what a detector says: how informative each parameter is, and which are redundant
``units``      hidden units and the parameters that belong to them
``inactive``   units whose activation does not vary on the known images
``unmoved``    coordinates that training left where they were, but for the shrinking that weight decay does to all
``constant``   coordinates that are the same whatever the missing image is
``lime``       random masks over groups, and a ridge surrogate of the reconstruction error
``refit``      the error that LIME asks for: of a reconstructor fitted on some groups of the weights
``guided_kkt`` a KKT attack that listens to some hidden units only
``guided_informed``  an informed adversary that reads some of the weights only
"""
