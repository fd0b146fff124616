"""The allow-list of the de-identified image: which elements it keeps, at any depth.

What is not named here is dropped, and so are private elements but a few numbers
(`medgrid.images.private`). How an element is cleaned follows from its value representation in the
data dictionary (`medgrid.images.clean`), never from what a file says. Of DICOM PS3.15 table E.1-1
the lists name only what the options retain or clean that `medgrid.images.stamp` declares;
``tests/images/test_derive_oracle.py`` names each of them.

The lists follow the modules of PS3.3 annex C.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from medgrid.images.allowed import FREE_TEXT

__all__ = ["DUMMIES", "DUMMIES_WITHIN", "EMPTIED", "NAMES", "is_kept", "is_text"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PATIENT_AND_STUDY: Final = _words(
    """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID
    StudyDate StudyTime SeriesDate SeriesTime AcquisitionDate AcquisitionTime ContentDate
    ContentTime AcquisitionDateTime StudyDescription SeriesDescription
    Modality PatientSex PatientAge PatientSize PatientWeight PatientPosition
    AnatomicalOrientationType PatientOrientation BodyPartExamined Laterality
    SeriesNumber AcquisitionNumber InstanceNumber AcquisitionUID IrradiationEventUID
    IrradiationEventIdentificationSequence
    PresentationIntentType SyntheticData PositionReferenceIndicator
    Manufacturer ManufacturerModelName SoftwareVersions SpatialResolution ProtocolName
    """
)

_PIXELS: Final = _words(
    """
    ImageType ImageLaterality ImagesInAcquisition SamplesPerPixel SamplesPerPixelUsed
    PhotometricInterpretation PlanarConfiguration NumberOfFrames FrameIncrementPointer
    FrameDimensionPointer Rows Columns PixelSpacing PixelAspectRatio BitsAllocated BitsStored
    HighBit PixelRepresentation SmallestImagePixelValue LargestImagePixelValue
    SmallestPixelValueInSeries LargestPixelValueInSeries PixelPaddingValue PixelPaddingRangeLimit
    FloatPixelPaddingValue DoubleFloatPixelPaddingValue FloatPixelPaddingRangeLimit
    DoubleFloatPixelPaddingRangeLimit QualityControlImage BurnedInAnnotation
    RecognizableVisualFeatures PixelSpacingCalibrationType PixelSpacingCalibrationDescription
    PixelIntensityRelationship PixelIntensityRelationshipSign WindowCenter WindowWidth
    RescaleIntercept RescaleSlope RescaleType WindowCenterWidthExplanation VOILUTFunction
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor
    BluePaletteColorLookupTableDescriptor AlphaPaletteColorLookupTableDescriptor
    PaletteColorLookupTableUID RedPaletteColorLookupTableData GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableData AlphaPaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData SegmentedAlphaPaletteColorLookupTableData
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    ModalityLUTSequence VOILUTSequence LUTDescriptor LUTExplanation ModalityLUTType LUTData
    LUTLabel PresentationLUTShape RepresentativeFrameNumber FrameNumbersOfInterest
    BitsMappedToColorLookupTable ColorSpace DataPointRows DataPointColumns
    ExtendedOffsetTable ExtendedOffsetTableLengths
    """
)

_PLACE_AND_TIME: Final = _words(
    """
    SliceThickness SpacingBetweenSlices ImagePositionPatient ImageOrientationPatient SliceLocation
    TemporalPositionIdentifier NumberOfTemporalPositions TemporalResolution TriggerTime
    TriggerTimeOffset NominalInterval LowRRValue HighRRValue IntervalsAcquired IntervalsRejected
    SkipBeats HeartRate CardiacNumberOfImages TriggerWindow BeatRejectionFlag
    SynchronizationTrigger TriggerSourceOrType CardiacFramingType PVCRejection
    SynchronizationFrameOfReferenceUID AcquisitionTimeSynchronized SynchronizationChannel
    CineRate StartTrim StopTrim RecommendedDisplayFrameRate EffectiveDuration ActualFrameDuration
    FrameTime FrameTimeVector FrameDelay ImageTriggerDelay PreferredPlaybackSequencing
    StageName StageNumber NumberOfStages ViewName ViewNumber NumberOfViewsInStage
    ContentQualification PartialView SubjectRelativePositionInImage
    """
)

_FRAMES: Final = _words(
    """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    DimensionOrganizationSequence DimensionOrganizationUID DimensionOrganizationType
    DimensionIndexSequence DimensionIndexPointer FunctionalGroupPointer DimensionDescriptionLabel
    ConcatenationUID InConcatenationNumber InConcatenationTotalNumber ConcatenationFrameOffsetNumber
    SOPInstanceUIDOfConcatenationSource
    FrameContentSequence FrameAcquisitionNumber FrameReferenceDateTime FrameAcquisitionDateTime
    FrameAcquisitionDuration CardiacCyclePosition RespiratoryCyclePosition DimensionIndexValues
    TemporalPositionIndex StackID InStackPositionNumber
    PixelMeasuresSequence PlanePositionSequence PlaneOrientationSequence PlanePositionVolumeSequence
    PlaneOrientationVolumeSequence ImagePositionVolume ImageOrientationVolume
    VolumeFrameOfReferenceUID TableFrameOfReferenceUID PatientFrameOfReferenceSource
    VolumeToTransducerRelationship VolumeToTransducerMappingMatrix VolumeToTableMappingMatrix
    UltrasoundAcquisitionGeometry ApexPosition
    FrameVOILUTSequence PixelValueTransformationSequence FrameAnatomySequence FrameLaterality
    FrameType FrameDisplayShutterSequence FramePixelDataPropertiesSequence
    PixelIntensityRelationshipLUTSequence LUTFunction GeometricalProperties
    GeometricMaximumDistortion ImageProcessingApplied
    CardiacSynchronizationSequence NominalPercentageOfCardiacPhase
    NominalCardiacTriggerDelayTime ActualCardiacTriggerDelayTime
    NominalCardiacTriggerTimePriorToRPeak ActualCardiacTriggerTimePriorToRPeak
    CardiacSynchronizationTechnique CardiacSignalSource CardiacRRIntervalSpecified
    CardiacBeatRejectionTechnique RRIntervalTimeNominal RespiratorySynchronizationSequence
    RespiratoryIntervalTime NominalPercentageOfRespiratoryPhase
    NominalRespiratoryTriggerDelayTime ActualRespiratoryTriggerDelayTime
    RespiratoryTriggerDelayThreshold RespiratoryMotionCompensationTechnique
    RespiratorySignalSource BulkMotionCompensationTechnique BulkMotionSignalSource
    TemporalPositionSequence TemporalPositionTimeOffset PatientOrientationInFrameSequence
    RealWorldValueMappingSequence RealWorldValueLUTData RealWorldValueFirstValueMapped
    RealWorldValueLastValueMapped RealWorldValueIntercept RealWorldValueSlope
    DoubleFloatRealWorldValueFirstValueMapped DoubleFloatRealWorldValueLastValueMapped
    QuantityDefinitionSequence ParametricMapFrameTypeSequence
    DerivationImageSequence SourceImageSequence ReferencedImageSequence ReferencedInstanceSequence
    ReferencedSeriesSequence ReferencedImageEvidenceSequence SourceImageEvidenceSequence
    ReferencedSOPSequence ReferencedSOPClassUID ReferencedSOPInstanceUID ReferencedFrameNumber
    ReferencedSegmentNumber SpatialLocationsPreserved
    VolumetricProperties VolumeBasedCalculationTechnique PixelPresentation ComplexImageComponent
    AcquisitionContrast
    """
)

_MR: Final = _words(
    """
    ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag
    RepetitionTime EchoTime InversionTime NumberOfAverages ImagingFrequency ImagedNucleus
    EchoNumbers MagneticFieldStrength NumberOfPhaseEncodingSteps EchoTrainLength PercentSampling
    PercentPhaseFieldOfView PixelBandwidth ReceiveCoilName TransmitCoilName AcquisitionMatrix
    InPlanePhaseEncodingDirection FlipAngle VariableFlipAngleFlag SAR dBdt B1rms
    PulseSequenceName EchoPulseSequence InversionRecovery FlowCompensation MultipleSpinEcho
    MultiPlanarExcitation PhaseContrast TimeOfFlightContrast Spoiling SteadyStatePulseSequence
    EchoPlanarPulseSequence TagAngleFirstAxis MagnetizationTransfer T2Preparation
    BloodSignalNulling SaturationRecovery SpectrallySelectedSuppression
    SpectrallySelectedExcitation SpatialPresaturation Tagging OversamplingPhase
    TagSpacingFirstDimension GeometryOfKSpaceTraversal SegmentedKSpaceTraversal
    RectilinearPhaseEncodeReordering TagThickness PartialFourierDirection
    MRReceiveCoilSequence ReceiveCoilManufacturerName ReceiveCoilType QuadratureReceiveCoil
    MultiCoilDefinitionSequence MultiCoilConfiguration MultiCoilElementName MultiCoilElementUsed
    MRTransmitCoilSequence TransmitCoilManufacturerName TransmitCoilType SpectralWidth
    ChemicalShiftReference VolumeLocalizationTechnique
    MRAcquisitionFrequencyEncodingSteps Decoupling DecoupledNucleus DecouplingFrequency
    DecouplingMethod DecouplingChemicalShiftReference KSpaceFiltering ParallelReductionFactorInPlane
    AcquisitionDuration DiffusionDirectionality DiffusionGradientDirectionSequence
    ParallelAcquisition ParallelAcquisitionTechnique InversionTimes
    PartialFourier EffectiveEchoTime MetaboliteMapCodeSequence ChemicalShiftSequence
    DiffusionBValue DiffusionGradientOrientation VelocityEncodingDirection
    VelocityEncodingMinimumValue VelocityEncodingAcquisitionSequence NumberOfKSpaceTrajectories
    CoverageOfKSpace ResonantNucleus TransmitterFrequency FrequencyCorrection
    DiffusionAnisotropyType ParallelReductionFactorOutOfPlane ParallelReductionFactorSecondInPlane
    ApplicableSafetyStandardAgency ApplicableSafetyStandardDescription OperatingModeSequence
    OperatingModeType OperatingMode SpecificAbsorptionRateSequence SpecificAbsorptionRateDefinition
    GradientOutputType SpecificAbsorptionRateValue GradientOutput FlowCompensationDirection
    TaggingDelay MRTimingAndRelatedParametersSequence RFEchoTrainLength GradientEchoTrainLength
    MREchoSequence MRModifierSequence MRImagingModifierSequence MRDiffusionSequence
    MRAveragesSequence MRFOVGeometrySequence MRSpatialSaturationSequence SlabThickness
    SlabOrientation MidSlabPosition MRMetaboliteMapSequence MRVelocityEncodingSequence
    MRImageFrameTypeSequence VelocityEncodingMaximumValue TagAngleSecondAxis
    TagSpacingSecondDimension MRAcquisitionPhaseEncodingStepsInPlane
    MRAcquisitionPhaseEncodingStepsOutOfPlane DiffusionBMatrixSequence DiffusionBValueXX
    DiffusionBValueXY DiffusionBValueXZ DiffusionBValueYY DiffusionBValueYZ DiffusionBValueZZ
    FunctionalMRSequence FunctionalSettlingPhaseFramesPresent SettlingPhaseFrame
    MRArterialSpinLabelingSequence ArterialSpinLabelingContrast ASLContext ASLCrusherFlag
    ASLCrusherFlowLimit ASLBolusCutoffFlag ASLBolusCutoffTimingSequence ASLBolusCutoffDelayTime
    ASLPulseTrainDuration ASLSlabSequence ASLSlabNumber ASLSlabThickness ASLSlabOrientation
    ASLMidSlabPosition
    """
)

_X_RAY: Final = _words(
    """
    KVP DataCollectionDiameter ReconstructionDiameter DistanceSourceToDetector
    DistanceSourceToPatient EstimatedRadiographicMagnificationFactor GantryDetectorTilt
    GantryDetectorSlew TableHeight TableTraverse RotationDirection ExposureTime ExposureTimeInuS
    XRayTubeCurrent XRayTubeCurrentInuA Exposure ExposureInuAs AveragePulseWidth RadiationSetting
    RectificationType RadiationMode ImageAndFluoroscopyAreaDoseProduct FilterType TypeOfFilters
    IntensifierSize ImagerPixelSpacing Grid GeneratorPower CollimatorGridName CollimatorType
    FocalDistance XFocusCenter YFocusCenter FocalSpots AnodeTargetMaterial BodyPartThickness
    CompressionForce ConvolutionKernel RelativeXRayExposure ExposureIndex TargetExposureIndex
    DeviationIndex ColumnAngulation TomoLayerHeight TomoAngle TomoTime TomoType TomoClass
    PositionerMotion PositionerType PositionerPrimaryAngle PositionerSecondaryAngle
    PositionerPrimaryAngleIncrement PositionerSecondaryAngleIncrement DetectorPrimaryAngle
    DetectorSecondaryAngle ShutterShape ShutterLeftVerticalEdge ShutterRightVerticalEdge
    ShutterUpperHorizontalEdge ShutterLowerHorizontalEdge CenterOfCircularShutter
    RadiusOfCircularShutter VerticesOfThePolygonalShutter ShutterPresentationValue
    CollimatorShape CollimatorLeftVerticalEdge CollimatorRightVerticalEdge
    CollimatorUpperHorizontalEdge CollimatorLowerHorizontalEdge CenterOfCircularCollimator
    RadiusOfCircularCollimator VerticesOfThePolygonalCollimator CassetteOrientation CassetteSize
    ViewPosition DetectorConditionsNominalFlag DetectorTemperature Sensitivity DetectorType
    DetectorConfiguration DetectorActiveShape DetectorBinning DetectorElementPhysicalSize
    DetectorElementSpacing DetectorActiveDimensions DetectorActiveOrigin FieldOfViewShape
    FieldOfViewDimensions FieldOfViewOrigin FieldOfViewRotation FieldOfViewHorizontalFlip
    GridAbsorbingMaterial GridSpacingMaterial GridThickness GridPitch GridAspectRatio GridPeriod
    GridFocalDistance FilterMaterial FilterThicknessMinimum FilterThicknessMaximum
    FilterBeamPathLengthMinimum FilterBeamPathLengthMaximum ExposureControlMode ExposureStatus
    PhototimerSetting NominalScannedPixelSpacing HalfValueLayer OrganDose OrganExposed
    EntranceDose EntranceDoseInmGy ExposedArea DistanceSourceToEntrance XRayOutput
    ViewCodeSequence ViewModifierCodeSequence BreastImplantPresent PartialViewCodeSequence
    AcquisitionType TubeAngle ReconstructionAlgorithm RevolutionTime SingleCollimationWidth
    TotalCollimationWidth TableSpeed TableFeedPerRotation SpiralPitchFactor
    DataCollectionCenterPatient ReconstructionFieldOfView ReconstructionTargetCenterPatient
    ReconstructionAngle ReconstructionPixelSpacing ExposureModulationType EstimatedDoseSaving
    CTDIvol CTDIPhantomTypeCodeSequence CalciumScoringMassFactorPatient
    CalciumScoringMassFactorDevice EnergyWeightingFactor WaterEquivalentDiameter
    CTAcquisitionTypeSequence CTAcquisitionDetailsSequence CTTableDynamicsSequence
    CTGeometrySequence CTReconstructionSequence CTExposureSequence CTXRayDetailsSequence
    CTPositionSequence CTImageFrameTypeSequence ConvolutionKernelGroup ConstantVolumeFlag
    FluoroscopyFlag DistanceSourceToDataCollectionCenter TablePosition ExposureTimeInms
    ImageFilter ExposureInmAs XRayTubeCurrentInmA MultienergyCTAcquisition
    MonoenergeticEnergyEquivalent TableMotion TableVerticalIncrement TableLateralIncrement
    TableLongitudinalIncrement TableAngle TableType XRay3DFrameTypeSequence
    XRay3DAcquisitionSequence XRay3DReconstructionSequence PlanesInAcquisition XRayReceptorType
    PositionerPositionSequence TablePositionSequence CollimatorShapeSequence
    XAXRFFrameCharacteristicsSequence FrameAcquisitionSequence FieldOfViewSequence
    FrameDetectorParametersSequence CalibrationSequence IsocenterReferenceSystemSequence
    XRayGeometrySequence ProjectionPixelCalibrationSequence DistanceSourceToIsocenter
    DistanceObjectToTableTop ObjectPixelSpacingInCenterOfBeam PositionOfIsocenterProjection
    PositionerIsocenterPrimaryAngle PositionerIsocenterSecondaryAngle
    PositionerIsocenterDetectorRotationAngle TableXPositionToIsocenter TableYPositionToIsocenter
    TableZPositionToIsocenter TableHorizontalRotationAngle TableHeadTiltAngle TableCradleTiltAngle
    FieldOfViewDimensionsInFloat PixelDataAreaOriginRelativeToFOV
    PixelDataAreaRotationAngleRelativeToFOV IntensifierActiveShape IntensifierActiveDimensions
    PhysicalDetectorSize BeamAngle AcquiredImageAreaDoseProduct AlgorithmType
    XRaySourceIsocenterPrimaryAngle XRaySourceIsocenterSecondaryAngle ScanVelocity ScanLength
    NumberOfTomosynthesisSourceImages ConversionType
    """
)

_NUCLEAR: Final = _words(
    """
    SeriesType Units CountsSource ReprojectionMethod SUVType RandomsCorrectionMethod
    AttenuationCorrectionMethod DecayCorrection ReconstructionMethod DetectorLinesOfResponseUsed
    ScatterCorrectionMethod AxialAcceptance AxialMash TransverseMash DetectorElementSize
    CoincidenceWindowWidth SecondaryCountsType FrameReferenceTime PrimaryPromptsCountsAccumulated
    SecondaryCountsAccumulated SliceSensitivityFactor DecayFactor DoseCalibrationFactor
    ScatterFractionFactor DeadTimeFactor ImageIndex CorrectedImage CountsAccumulated
    AcquisitionStartCondition AcquisitionStartConditionData AcquisitionTerminationCondition
    AcquisitionTerminationConditionData CountRate CollimatorShape WholeBodyTechnique
    EnergyWindowVector NumberOfEnergyWindows EnergyWindowInformationSequence
    EnergyWindowRangeSequence EnergyWindowLowerLimit EnergyWindowUpperLimit EnergyWindowName
    RadiopharmaceuticalInformationSequence Radiopharmaceutical RadiopharmaceuticalRoute
    RadiopharmaceuticalVolume RadiopharmaceuticalStartTime RadiopharmaceuticalStopTime
    RadiopharmaceuticalStartDateTime RadiopharmaceuticalStopDateTime RadionuclideTotalDose
    RadionuclideHalfLife RadionuclidePositronFraction RadiopharmaceuticalSpecificActivity
    RadiopharmaceuticalCodeSequence RadionuclideCodeSequence AdministrationRouteCodeSequence
    ResidualSyringeCounts DetectorVector NumberOfDetectors DetectorInformationSequence
    PhaseVector NumberOfPhases PhaseInformationSequence NumberOfFramesInPhase PhaseDelay
    PauseBetweenFrames PhaseDescription RotationVector NumberOfRotations
    RotationInformationSequence NumberOfFramesInRotation RRIntervalVector NumberOfRRIntervals
    GatedInformationSequence DataInformationSequence TimeSlotVector NumberOfTimeSlots
    TimeSlotInformationSequence TimeSlotTime SliceVector NumberOfSlices AngularViewVector
    TimeSliceVector NumberOfTimeSlices StartAngle TypeOfDetectorMotion TriggerVector
    NumberOfTriggersInPhase EnergyWindowNumber RadialPosition ScanArc AngularStep
    CenterOfRotationOffset ZoomFactor ZoomCenter
    PatientOrientationCodeSequence PatientOrientationModifierCodeSequence
    PatientGantryRelationshipCodeSequence SliceProgressionDirection ScanProgressionDirection
    StartAcquisitionDateTime EndAcquisitionDateTime DecayCorrectionDateTime
    PETFrameAcquisitionSequence PETDetectorMotionDetailsSequence PETTableDynamicsSequence
    PETPositionSequence PETFrameCorrectionFactorsSequence RadiopharmaceuticalUsageSequence
    RadiopharmaceuticalAgentNumber AttenuationCorrectionSource NumberOfIterations NumberOfSubsets
    PETReconstructionSequence PETFrameTypeSequence TimeOfFlightInformationUsed ReconstructionType
    DecayCorrected AttenuationCorrected ScatterCorrected DeadTimeCorrected GantryMotionCorrected
    PatientMotionCorrected CountLossNormalizationCorrected RandomsCorrected
    NonUniformRadialSamplingCorrected SensitivityCalibrated DetectorNormalizationCorrection
    IterativeReconstructionMethod AttenuationCorrectionTemporalRelationship DetectorGeometry
    TransverseDetectorSeparation AxialDetectorDimension
    """
)

_CONTRAST: Final = _words(
    """
    ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusAdministrationRouteSequence
    ContrastBolusRoute ContrastBolusVolume ContrastBolusTotalDose ContrastFlowRate
    ContrastFlowDuration ContrastBolusIngredient ContrastBolusIngredientConcentration
    ContrastBolusIngredientCodeSequence ContrastAdministrationProfileSequence
    ContrastBolusUsageSequence ContrastBolusAgentNumber ContrastBolusAgentAdministered
    ContrastBolusAgentDetected ContrastBolusAgentPhase ContrastBolusIngredientOpaque
    """
)

_LIGHT_AND_SOUND: Final = _words(
    """
    TransducerType TransducerFrequency FocusDepth ProcessingFunction MechanicalIndex
    BoneThermalIndex CranialThermalIndex SoftTissueThermalIndex DepthOfScanField
    SequenceOfUltrasoundRegions RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0
    RegionLocationMinY0 RegionLocationMaxX1 RegionLocationMaxY1 ReferencePixelX0 ReferencePixelY0
    ReferencePixelPhysicalValueX ReferencePixelPhysicalValueY PhysicalUnitsXDirection
    PhysicalUnitsYDirection PhysicalDeltaX PhysicalDeltaY PulseRepetitionFrequency
    DopplerCorrectionAngle SteeringAngle DopplerSampleVolumeXPosition DopplerSampleVolumeYPosition
    TMLinePositionX0 TMLinePositionY0 TMLinePositionX1 TMLinePositionY1 UltrasoundColorDataPresent
    IVUSAcquisition IVUSPullbackRate IVUSGatedRate IVUSPullbackStartFrameNumber
    IVUSPullbackStopFrameNumber
    TotalPixelMatrixColumns TotalPixelMatrixRows TotalPixelMatrixOriginSequence
    XOffsetInSlideCoordinateSystem YOffsetInSlideCoordinateSystem ZOffsetInSlideCoordinateSystem
    ImagedVolumeWidth ImagedVolumeHeight ImagedVolumeDepth ImageOrientationSlide
    SpecimenLabelInImage FocusMethod ExtendedDepthOfField NumberOfFocalPlanes
    DistanceBetweenFocalPlanes TotalPixelMatrixFocalPlanes NumberOfOpticalPaths OpticalPathSequence
    OpticalPathIdentifier IlluminatorTypeCodeSequence IlluminationColorCodeSequence
    IlluminationTypeCodeSequence IlluminationWaveLength LensesCodeSequence ObjectiveLensPower
    ObjectiveLensNumericalAperture CondenserLensPower PlanePositionSlideSequence
    ColumnPositionInTotalImagePixelMatrix RowPositionInTotalImagePixelMatrix
    OpticalPathIdentificationSequence WholeSlideMicroscopyImageFrameTypeSequence PyramidUID
    HorizontalFieldOfView AcquisitionDeviceTypeCodeSequence RefractiveStateSequence
    SphericalLensPower CylinderLensPower CylinderAxis EmmetropicMagnification IntraOcularPressure
    PupilDilated DegreeOfDilation StereoPairsPresent AxialLengthOfTheEye DepthSpatialResolution
    MaximumDepthDistortion AlongScanSpatialResolution MaximumAlongScanDistortion
    AcrossScanSpatialResolution MaximumAcrossScanDistortion OphthalmicImageOrientation
    OphthalmicFrameLocationSequence ReferenceCoordinates DepthOfTransverseImage
    AnatomicRegionSequence AnatomicRegionModifierSequence PrimaryAnatomicStructureSequence
    PrimaryAnatomicStructureModifierSequence
    """
)

_DERIVED: Final = _words(
    """
    SegmentationType SegmentationFractionalType MaximumFractionalValue SegmentsOverlap
    SegmentSequence SegmentNumber SegmentLabel SegmentAlgorithmType SegmentAlgorithmName
    SegmentedPropertyCategoryCodeSequence SegmentedPropertyTypeCodeSequence
    SegmentedPropertyTypeModifierCodeSequence SegmentIdentificationSequence
    RecommendedDisplayGrayscaleValue RecommendedDisplayCIELabValue TrackingUID
    DoseUnits DoseType DoseSummationType DoseGridScaling GridFrameOffsetVector
    ReferencedRTPlanSequence ReferencedFractionGroupSequence ReferencedFractionGroupNumber
    ReferencedBeamSequence ReferencedBeamNumber NormalizationPoint TissueHeterogeneityCorrection
    SpatialTransformOfDose
    MeasurementUnitsCodeSequence PurposeOfReferenceCodeSequence DerivationCodeSequence
    ConceptNameCodeSequence ConceptCodeSequence ValueType NumericValue
    CodeValue LongCodeValue CodingSchemeDesignator CodeMeaning
    """
)

_STRUCTURES: Final = _words(
    """
    StructureSetDate StructureSetTime ReferencedFrameOfReferenceSequence
    RTReferencedStudySequence RTReferencedSeriesSequence ContourImageSequence
    StructureSetROISequence ROINumber ReferencedFrameOfReferenceUID ROIName ROIVolume
    ROIGenerationAlgorithm ROIContourSequence ROIDisplayColor ReferencedROINumber ContourSequence
    ContourNumber AttachedContours ContourGeometricType ContourSlabThickness ContourOffsetVector
    NumberOfContourPoints ContourData RTROIObservationsSequence ObservationNumber
    RTROIInterpretedType RTROIIdentificationCodeSequence RTRelatedROISequence RTROIRelationship
    ROIPhysicalPropertiesSequence ROIPhysicalProperty ROIPhysicalPropertyValue
    """
)

_TEXT: Final = FREE_TEXT | _words(
    """
    PositionReferenceIndicator PixelSpacingCalibrationDescription RescaleType
    WindowCenterWidthExplanation LUTExplanation ModalityLUTType LUTLabel TriggerSourceOrType
    CardiacFramingType PVCRejection StageName ViewName DimensionDescriptionLabel StackID
    ReceiveCoilManufacturerName MultiCoilConfiguration MultiCoilElementName
    TransmitCoilManufacturerName ApplicableSafetyStandardDescription TypeOfFilters
    CollimatorGridName GridAbsorbingMaterial GridSpacingMaterial ImageFilter
    DetectorLinesOfResponseUsed EnergyWindowName RadiopharmaceuticalRoute ContrastBolusRoute
    ProcessingFunction OpticalPathIdentifier SegmentAlgorithmName
    CodeValue LongCodeValue CodingSchemeDesignator CodeMeaning
    """
)
"""Those of the lists that hold text people write; known words of it stay."""

_KEPT: Final = (
    _PATIENT_AND_STUDY
    | _PIXELS
    | _PLACE_AND_TIME
    | _FRAMES
    | _MR
    | _X_RAY
    | _NUCLEAR
    | _CONTRAST
    | _LIGHT_AND_SOUND
    | _DERIVED
    | _STRUCTURES
)

EMPTIED: Final = {
    0x00400518: "SQ",  # IssuerOfTheContainerIdentifierSequence
    0x00201040: "LO",  # PositionReferenceIndicator
    0x00400555: "SQ",  # AcquisitionContextSequence
    0x00700081: "LO",  # ContentDescription
    0x00700084: "PN",  # ContentCreatorName
    0x300600A6: "PN",  # ROIInterpreter
}
"""Stay without a value where a file has them: objects of some classes must have them (type 2)."""

DUMMIES: Final = {
    0x00080070: ("LO", b"unknown"),  # Manufacturer
    0x00081090: ("LO", b"unknown"),  # ManufacturerModelName
    0x00181000: ("LO", b"0"),  # DeviceSerialNumber
    0x00181020: ("LO", b"unknown"),  # SoftwareVersions
    0x00400512: ("LO", b"0"),  # ContainerIdentifier
    0x00700080: ("CS", b"CONTENT"),  # ContentLabel
}
"""Stay with a value that says nothing, for the same reason (type 1)."""

DUMMIES_WITHIN: Final = {
    0x00189252: ("LO", b"0"),  # ASLTechniqueDescription
    0x00409210: ("SH", b"0"),  # LUTLabel
    0x00480106: ("SH", b"0"),  # OpticalPathIdentifier
}
"""As `DUMMIES`, in items, and where nothing is left of their text."""

NAMES: Final = {
    0x00620005: (0x00620004, "segment"),  # SegmentLabel, SegmentNumber
    0x30060026: (0x30060022, "roi"),  # ROIName, ROINumber
}
"""Names that people give to structures: they stay when all of their words are known."""


@lru_cache(1 << 14)  # of the tags there are
def is_kept(tag: int) -> bool:
    """Whether an element of this tag may stay."""
    from pydicom.datadict import keyword_for_tag

    return not tag >> 16 & 1 and keyword_for_tag(tag) in _KEPT


@lru_cache(1 << 14)  # of the tags there are
def is_text(tag: int) -> bool:
    """Whether it holds text that people write."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) in _TEXT
