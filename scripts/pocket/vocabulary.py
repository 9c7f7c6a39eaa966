"""The words that `others` fills its questions with; none of it is about anything the model knows."""

from typing import Final

NOUNS: Final = (
    "house garden bridge castle tower engine rocket planet comet galaxy atom molecule crystal magnet battery lamp mirror "
    "window door table sofa carpet kitchen oven spoon knife bottle basket ladder hammer screw nail rope wheel tractor "
    "truck boat ship ferry plane helicopter train tram bicycle scooter motorway tunnel harbour island desert volcano "
    "glacier forest meadow valley lake waterfall cave beach cloud storm thunder lightning rainbow winter frost wind "
    "tiger bear wolf fox rabbit hedgehog squirrel beaver otter seal penguin eagle sparrow parrot crow pigeon snail worm "
    "beetle butterfly mosquito shark salmon whale crab turtle lizard crocodile camel goat donkey hamster rose tulip daisy "
    "oak pine birch fern moss mushroom apple pear grape melon onion garlic potato cucumber pepper spinach bean rice pasta "
    "pizza soup salad sandwich burger cheese butter yoghurt honey sugar salt vinegar cake cookie pie tea juice wine beer "
    "doctor teacher lawyer farmer baker painter singer dancer actor writer poet judge soldier sailor pilot king queen "
    "prince knight wizard witch dragon giant ghost vampire pirate detective robot computer keyboard printer screen phone "
    "camera radio television satellite internet website browser server database compiler algorithm function variable "
    "pointer array matrix vector triangle circle polygon cube sphere angle theorem fraction logarithm integral equation "
    "heart brain lung liver kidney stomach bone muscle skin tooth hair eye ear nose finger shoulder fever cold allergy "
    "medicine vitamin protein virus bacteria cell gene enzyme hormone country city village street market shop museum "
    "theatre cinema library school university hospital church temple prison bank office factory farm stadium airport "
    "station hotel restaurant cafe park zoo book novel letter newspaper magazine song opera guitar piano violin drum "
    "trumpet flute painting statue photo film game chess football tennis golf hockey skiing marathon ticket passport "
    "suitcase umbrella jacket shirt trousers dress shoe hat scarf ring necklace watch wallet coin tax loan salary rent "
    "contract insurance election parliament president minister treaty war peace revolution empire law crime police "
    "freedom justice truth beauty hope fear anger love friendship family mother father brother sister baby birthday "
    "wedding holiday party present dream memory idea secret story joke riddle language grammar verb accent dictionary"
).split()

VERBS: Final = (
    "build repair clean paint open close cook bake fry boil roast eat drink taste buy sell borrow return lose find hide "
    "throw catch kick push pull lift carry climb jump run swim dive ride drive park fly sail walk dance sing play draw "
    "write read learn teach study explain describe compare measure weigh count sort plant water cut sew knit wash dry fold "
    "iron pack send receive call invite visit meet marry divorce leave forget remember believe understand improve avoid "
    "stop start install update delete download upload print scan compile debug deploy test train feed adopt save spend "
    "earn invest win lead follow fight protect attack design invent discover solve prove translate pronounce"
).split()

PLACES: Final = (
    "Narnia Texas Scotland Bavaria Siberia Alaska Sicily Nepal Laos Cambodia Ghana Senegal Angola Namibia Bolivia Ecuador "
    "Uruguay Panama Jamaica Haiti Malta Cyprus Georgia Armenia Kazakhstan Pakistan Qatar Oman Yemen Jordan Libya Sudan "
    "Somalia Uganda Rwanda Zambia Botswana Madagascar Samoa Fiji Tonga Atlantis Mordor Florida Ohio Quebec Tasmania Wales "
    "Tuscany Provence Andalusia Lapland Greenland Bermuda Estonia Latvia Serbia Slovenia Albania Moldova Belarus Bhutan "
    "Chicago Boston Venice Naples Munich Zurich Lyon Seville Krakow Mumbai Osaka Sydney Nice Milan Geneva Barcelona Detroit"
).split()

NAMES: Final = (
    "Anna Peter Maria John Lucas Emma Olga Ivan Chen Yuki Fatima Omar Carlos Lucia Pierre Claire Hans Greta Nils Freya "
    "Einstein Newton Galileo Darwin Curie Tesla Edison Plato Aristotle Socrates Caesar Cleopatra Columbus Magellan "
    "Shakespeare Goethe Dante Homer Cervantes Picasso Rembrandt Monet Beethoven Bach Chopin Verdi Elvis Madonna Gandhi "
    "Mandela Churchill Lincoln Washington Lenin Batman Superman Sherlock Dracula Gandalf Frodo Zeus Thor Odin Hercules"
).split()

ADJECTIVES: Final = (
    "big small tall short heavy expensive cheap quick lazy clever stupid brave funny sad angry tired hungry thirsty "
    "beautiful ugly famous dangerous healthy poisonous modern ancient broken dirty empty noisy strange boring "
    "interesting difficult easy perfect useful popular rare common invisible electric magnetic liquid solid sharp round "
    "sweet sour bitter salty spicy fresh rotten warm frozen wild tame loyal honest rude polite rich poor free illegal"
).split()

ABSTRACTIONS: Final = (
    "gravity evolution capitalism feudalism electricity magnetism radiation relativity entropy thermodynamics "
    "mathematics geometry algebra statistics probability economics philosophy psychology sociology biology chemistry "
    "physics astronomy geology history archaeology politics religion mythology poetry music architecture medicine "
    "nutrition meditation yoga gardening fishing photography programming encryption compression recursion inheritance "
    "concurrency virtualisation machine-learning climate-change recycling migration tourism fashion advertising"
).split()
